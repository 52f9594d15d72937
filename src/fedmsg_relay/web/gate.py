"""Lets the relay write its WAL back, however many clients read.

SQLite begins the WAL anew only at a moment without readers. Threads that read all the time, each for milliseconds,
leave no such moment, and the WAL would grow for as long as they do. So where it has grown, all of them pause together.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from fedmsg_relay.web import limits


class Gate:
    """What each statement that reads the journal goes through.

    Args:
        path: of ``journal.db``.
    """

    def __init__(self, path: Path) -> None:
        self._wal = Path(f"{path}-wal")
        self._changed = threading.Condition()
        self._reading = 0
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read within; wait before while there is a pause."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed, limits.READ_SECONDS)
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    def keep(self, ended: threading.Event) -> None:
        """Look after the WAL until the end.

        Args:
            ended: set at the end of the process.
        """
        while not ended.wait(limits.WAL_SECONDS):
            if self._wal_bytes() > limits.WAL_BYTES:
                self._pause(ended)

    def _pause(self, ended: threading.Event) -> None:
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._reading, limits.READ_SECONDS)
        ended.wait(limits.PAUSE_SECONDS)
        with self._changed:
            self._closed = False
            self._changed.notify_all()

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0
