"""The daemon's threads: none of them dies unseen.

What a thread was for is not done any more once it has died, and the relay around it seems well. So its death is
logged, ``status`` is CRITICAL and the watchdog is no longer fed: systemd starts the relay anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger("fedmsg-relay")
"""As :mod:`fedmsg_relay.runtime.log` has it, whose own threads are started here."""

_dead: dict[str, str] = {}


def start(name: str, work: Callable[[], None]) -> threading.Thread:
    """Start a thread that keeps nobody from ending.

    Args:
        name: for the log and ``status``.
        work: what it does; an exception that leaves it is a fault of the relay.

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
    """Get the threads that have died.

    Returns:
        Of each, by its name, what it died of.
    """
    return dict(_dead)
