"""No thread of the relay dies unseen."""

from __future__ import annotations

from pathlib import Path

import fedmsg_relay

SOURCES = Path(fedmsg_relay.__file__).parent


def test_every_thread_of_the_daemon_is_started_so_that_it_dies_seen() -> None:
    started = {path.name for path in SOURCES.rglob("*.py") if "threading.Thread(" in path.read_text()}
    # A look-up of a name ends with its answer, and its caller waits for a bounded time; reach.py and asking.py are of
    # commands; the threads of streams.py are those of a listener.
    assert started == {"threads.py", "hostnames.py", "reach.py", "asking.py", "streams.py"}
