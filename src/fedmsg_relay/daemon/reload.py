"""Reads the settings anew on SIGHUP, in a thread: the global config is Python, and may wait for a name server."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fedmsg_relay.daemon.checks import Checks
from fedmsg_relay.daemon.settings import RELOADED, Settings
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.runtime import threads
from fedmsg_relay.runtime.log import log

Read = Callable[[], tuple[Settings, Checks]]
"""Reads relay.toml and the global config; may raise ConfigError."""


class Reload:
    """Reads again when it is asked to, one reading after the other.

    Args:
        read: reads the settings.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._asked = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._outcomes: list[tuple[Settings, Checks] | ConfigError] = []
        self._due = 0

    @property
    def at_work(self) -> bool:
        """Whether an outcome is still to come."""
        return self._due > 0

    def ask(self) -> None:
        """Begin to read, or read once more when the reading at work is over."""
        self._due += 1
        self._asked.release()
        if self._thread is None:
            self._thread = threads.start("reload", self._work)

    def take(self) -> tuple[Settings, Checks] | ConfigError | None:
        """Get the outcome of a reading; None where none has ended since the last one."""
        if not self._outcomes:
            return None
        self._due -= 1
        return self._outcomes.pop(0)

    def _work(self) -> None:
        while self._asked.acquire():
            try:
                self._outcomes.append(self._read())
            except ConfigError as error:
                self._outcomes.append(error)


def log_outcome(new: Settings, previous: Settings) -> None:
    """Log what is in force now, and what needs a restart.

    Args:
        new: the settings that were read.
        previous: those before.
    """
    tables = [name for name in Settings.__struct_fields__ if name not in RELOADED]
    fixed = [name for name in tables if getattr(new, name) != getattr(previous, name)]
    restart = f" ({' and '.join(fixed)} changed: needs a restart)" if fixed else ""
    log.info(
        "reloaded max_message_size=%d keep_days=%g keep_bytes=%d signatures=%s%s",
        new.limits.max_message_size,
        new.journal.keep_days,
        new.journal.keep_bytes,
        new.trust.signatures,
        restart,
    )
