"""The threads of the daemon, none of which dies unseen.

The work of a thread that has died is not done any more, while the rest of the relay seems well. So its death is logged,
``status`` is CRITICAL, and the watchdog is no longer fed: systemd starts the relay again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger("fedmsg-relay")
"""As :mod:`fedmsg_relay.runtime.log` has it, whose own threads are started here."""

_dead: dict[str, str] = {}


def start(name: str, work: Callable[[], None]) -> threading.Thread:
    """Start a thread that does not keep the process from ending.

    Args:
        name: for the log and ``status``.
        work: the work; an exception that leaves it is a fault of the relay.

    Returns:
        The thread.
    """

    def watched() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 -- that is what this is for
            _dead[name] = repr(error)
            _log.exception("the thread %r has died, the relay has to be restarted; please report it", name)

    thread = threading.Thread(target=watched, name=name, daemon=True)
    thread.start()
    return thread


def dead() -> dict[str, str]:
    """Get the threads that have died: by the name of each, its exception."""
    return dict(_dead)
