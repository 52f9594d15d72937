"""The upkeep of a journal at work: steps of retention, and a warning before its disk is full."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from fedmsg_relay.journal.retention import Retention
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.runtime.log import log

TRIM_SECONDS = 1.0
"""Time between two looks whether retention has something to do."""

PUT_OFF_SECONDS = 10.0
"""Time after which upkeep is tried again, when it could not be written."""


class Upkeep:
    """Takes steps of retention, when they are due.

    Args:
        path: of the journal.

    Attributes:
        bytes: size of the journal when last looked.
    """

    def __init__(self, path: Path) -> None:
        self.bytes = 0
        self._directory = path.parent
        self._tight = False
        self._next_look = self._put_off_until = 0.0

    def step(self, journal: Journal, retention: Retention) -> bool:
        """Take a step of retention, if one is due.

        Args:
            journal: the journal.
            retention: how long messages are kept.

        Returns:
            Whether there is more to do.

        Raises:
            JournalError: the step could not be written.
        """
        now = time.monotonic()
        if now < self._put_off_until or (now < self._next_look and not journal.crowded()):
            return False
        self._next_look = now + TRIM_SECONDS
        self.bytes = journal.size()
        with suppress(OSError):  # the directory is gone: the next write says so
            self._compare_room(retention.keep_bytes - self.bytes)
        if journal.trim(retention.keep_days * 86400, retention.keep_bytes):
            self._next_look = 0.0
            return True
        return False

    def put_off(self) -> None:
        """Wait :data:`PUT_OFF_SECONDS` before the next step."""
        self._put_off_until = time.monotonic() + PUT_OFF_SECONDS

    def _compare_room(self, growth: int) -> None:
        """Warn early that the disk will be full before retention has something to remove."""
        disk = os.statvfs(self._directory)
        room = disk.f_bavail * disk.f_frsize
        if (growth > room) != self._tight:
            self._tight = growth > room
            if self._tight:
                log.warning("the journal may grow by %d bytes (keep_bytes); its disk has room for %d", growth, room)
