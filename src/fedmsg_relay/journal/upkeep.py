"""The upkeep of a journal: all work on it that is not urgent. What cannot be written now is tried again later."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from fedmsg_relay.errors import JournalCorruptError, JournalError
from fedmsg_relay.journal import spared
from fedmsg_relay.journal.fault import RETRY_SECONDS, Fault
from fedmsg_relay.journal.retention import Retention
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.runtime.log import log

TRIM_SECONDS = 1.0
"""Time between two looks whether retention has something to do."""

PUT_OFF_SECONDS = 10.0
"""Time after which a step of retention is tried again, when it could not be written."""


class Upkeep:
    """Notes what is published and who listens, takes steps of retention, and warns before the disk is full.

    Args:
        path: of the journal.
        fault: of the journal; it is told if the file turns out to be broken.

    Attributes:
        bytes: size of the journal when last looked.
    """

    def __init__(self, path: Path, fault: Fault) -> None:
        self.bytes = 0
        self._directory = path.parent
        self._fault = fault
        self._tight = False
        self._next_mark = self._next_look = self._put_off_until = 0.0

    def mark_published(self, journal: Journal, seq: int) -> None:
        """Note in the journal which messages are out for good.

        Args:
            journal: the journal.
            seq: of the last of these messages.
        """
        if seq == journal.published or time.monotonic() < self._next_mark:
            return
        try:
            journal.mark_published(seq)
        except JournalError as error:
            self._next_mark = time.monotonic() + RETRY_SECONDS
            self._note_error(error, ": published messages may go out again at the next start")

    def remember_listeners(self, journal: Journal, hosts: list[str]) -> bool:
        """Note in the journal which listeners are connected.

        Args:
            journal: the journal.
            hosts: one for each connection.

        Returns:
            Whether it is noted.
        """
        try:
            journal.remember_listeners(hosts)
        except JournalError as error:
            self._put_off(error)
            return False
        return True

    def trim(self, journal: Journal, retention: Retention) -> bool:
        """Take a step of retention, if one is due.

        Args:
            journal: the journal.
            retention: how long messages are kept.

        Returns:
            Whether there is more to do.
        """
        try:
            return self._trim(journal, retention)
        except JournalError as error:
            self._put_off(error)
            return False

    def _trim(self, journal: Journal, retention: Retention) -> bool:
        now = time.monotonic()
        if now < self._put_off_until or (now < self._next_look and not journal.trimmer.is_crowded()):
            return False
        self._next_look = now + TRIM_SECONDS
        self.bytes = journal.size()
        with suppress(OSError):  # the directory is gone: the next write says so
            self._compare_room(retention.keep_bytes - self.bytes)
        if journal.trim(retention.keep_days * 86400, retention.keep_bytes, spared.cursor(self._directory)):
            self._next_look = 0.0
            return True
        return False

    def _put_off(self, error: JournalError) -> None:
        self._put_off_until = time.monotonic() + PUT_OFF_SECONDS
        self._note_error(error)

    def _note_error(self, error: JournalError, consequence: str = "") -> None:
        log.error("%s%s", error, consequence)
        if isinstance(error, JournalCorruptError):
            self._fault.note(error)

    def _compare_room(self, growth: int) -> None:
        """Warn early that the disk will be full before retention has something to remove."""
        disk = os.statvfs(self._directory)
        room = disk.f_bavail * disk.f_frsize
        if (growth > room) != self._tight:
            self._tight = growth > room
            if self._tight:
                log.warning("the journal may grow by %d bytes (keep_bytes); its disk has room for %d", growth, room)
