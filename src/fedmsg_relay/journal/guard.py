"""The guard of the journal: opens it, opens it again after a fault, and sets it aside when it cannot be read any more.

A fault is noted when it shows. It is seen to at the beginning of the next turn of the pipeline
(:meth:`JournalGuard.recover`), so that the journal does not change in the middle of a turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fedmsg_relay.errors import JournalCorruptError, JournalError
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.records import Entry, Record, Rejected
from fedmsg_relay.journal.retention import DEDUP_WINDOW, Retention
from fedmsg_relay.journal.salvage import set_aside
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.journal.window import Sighting, Window, fingerprint
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log

RETRY_SECONDS = 1.0
"""How often a journal that could not be opened or written is tried again."""

TRIM_SECONDS = 1.0
"""How often it is looked whether retention has something to do."""

PUT_OFF_SECONDS = 10.0
"""After which retention is tried again, when it could not be written."""

ASIDE_SECONDS = 60.0
"""How often a journal is set aside at most: where the disk gives back nothing as it was written, that does not help."""


LOST = " messages of the journal are damaged, they are not published"


class Waiting(NamedTuple):
    """Messages that wait in the journal.

    Attributes:
        records: those that are as they were written.
        upto: ``seq`` of the last one that was looked at.
        damaged: how many of them the journal can not give back.
    """

    records: list[Record]
    upto: int
    damaged: int


class JournalGuard:
    """Keeps the relay's journal open and writable.

    Args:
        path: of the journal.

    Attributes:
        journal: the journal; None while it can not be opened.
        fault: why the journal can not be opened or written, while it can not.
        notices: what an operator must know about the journal as it was found at the start.
        bytes: how large the journal is.
        window: the dedup window.
        cursor: what of the journal is handed over and published.
        listeners: IP addresses of those that listened before, one for each connection.
    """

    def __init__(self, path: Path) -> None:
        self.journal: Journal | None = None
        self.fault = ""
        self.notices: list[str] = []
        self.bytes = 0
        self.window = Window(DEDUP_WINDOW)
        self.cursor = Cursor()
        self.listeners: list[str] = []
        self._carried = 0
        self._path = path
        self._last = 0
        self._aside: Path | None = None
        self._corrupt = False
        self._failed_bytes = 0
        self._lost = 0
        self._tight = False
        self._next_try = self._next_mark = self._next_trim = self._next_aside = self._put_off_until = 0.0
        self._open()

    @property
    def last(self) -> int:
        """``seq`` of the last message in the journal."""
        return self.journal.last if self.journal else self._last

    @property
    def waiting(self) -> int:
        """Messages in the journal that were not handed over yet."""
        return self.last - self.cursor.handed_over

    def take_carried(self) -> int:
        """Get how many messages waited in journals that were opened since this was last asked for.

        It is negative where a journal was set aside and fewer of its messages still wait.
        """
        carried, self._carried = self._carried, 0
        return carried

    def recover(self) -> None:
        """See to a fault, where there is one: set aside what can not be read, try again what could not be written."""
        if self._corrupt and self.journal is not None:
            log.error("%s; %d messages wait in it", self.fault, self.waiting)
            self._last = self.journal.last
            self.journal.close()
            self.journal = None
            self._open(corrupt=True)
        elif self.fault and time.monotonic() >= self._next_try:
            if self.journal is None:
                self._open()
            else:
                self._try_to_write(self.journal)

    def append(
        self,
        entries: Sequence[Entry],
        rejected: Sequence[Rejected],
        size: int,
        known: Mapping[str, tuple[Sighting, ...]],
    ) -> bool:
        """Put messages on disk: all of them or none.

        Args:
            entries: messages that were admitted.
            rejected: messages for the quarantine.
            size: bytes of all of them.
            known: where the entries will be, by their ``msg_id``: for the dedup window.

        Returns:
            Whether all of them are on disk.
        """
        if self.journal is None:
            return False
        if entries or rejected:
            try:
                self.journal.append(entries, rejected, size)
            except JournalError as error:
                self._failed_bytes = size
                self._failed(error)
                return False
            self._works_again()
            self.window.add(known)
        return True

    def holds(self, seq: int, seen: int | None, entry: Entry) -> bool:
        """Tell whether a message is one of the dedup window, byte for byte.

        Args:
            seq: of the one in the window.
            seen: what stands for its bytes, where that is in memory.
            entry: the message.

        Returns:
            Whether it is; not where nobody can tell any more.
        """
        if seen is not None or self.journal is None:
            return seen == fingerprint(entry.topic, entry.body)
        try:
            return self.journal.holds(seq, entry)
        except JournalError as error:
            self._failed(error)
            return False

    def next_waiting(self, limit: int, max_bytes: int = limits.TURN_BYTES) -> Waiting:
        """Look at the next messages that were not handed over yet.

        Args:
            limit: messages at most.
            max_bytes: bytes of them at most; one of more comes alone.

        Returns:
            The messages; none where the journal can not be read.
        """
        journal = self.journal
        if journal is None or journal.last == self.cursor.handed_over:
            return Waiting([], self.cursor.handed_over, 0)
        try:
            records = journal.waiting(self.cursor.handed_over, limit, max_bytes)
        except JournalError as error:
            self._failed(error)
            return Waiting([], self.cursor.handed_over, 0)
        intact = []
        for record in records:
            if record.intact:
                intact.append(record)
            else:
                log.error("journal: message seq %d is damaged, it is not published", record.seq)
        last = records[-1].seq if records else journal.last
        # What is missing between these was lost on disk; it must not stop the rest.
        missing = last - self.cursor.handed_over - len(records)
        if missing:
            log.error("journal: %d messages up to seq %d are missing", missing, last)
        damaged = last - self.cursor.handed_over - len(intact)
        if damaged:
            self._lost += damaged
            self._notice(LOST, f"{self._lost}{LOST}")
        return Waiting(intact, last, damaged)

    def mark_published(self, seq: int) -> None:
        """Note in the journal what was handed over for good; where it can not be noted, later.

        Args:
            seq: of the last message that is.
        """
        if self.journal is None or seq == self.journal.published or time.monotonic() < self._next_mark:
            return
        try:
            self.journal.mark_published(seq)
        except JournalError as error:
            log.error("%s: published messages may go out again at the next start", error)
            self._next_mark = time.monotonic() + RETRY_SECONDS
            if isinstance(error, JournalCorruptError):
                self._failed(error)

    def trim(self, retention: Retention) -> bool:
        """Take a step of retention, when it is time for one.

        Args:
            retention: how long messages are kept.

        Returns:
            Whether there is more to do.
        """
        now = time.monotonic()
        if self.journal is None or now < self._put_off_until:
            return False
        try:
            if now < self._next_trim and not self.journal.crowded():
                return False
            self._next_trim = now + TRIM_SECONDS
            self.bytes = self.journal.size()
            with suppress(OSError):  # the directory is gone: what writes next says so
                self._compare_room(retention.keep_bytes - self.bytes)
            if self.journal.trim(retention.keep_days * 86400, retention.keep_bytes):
                self._next_trim = 0.0
                return True
        except JournalError as error:
            self._put_off(error)
        return False

    def _compare_room(self, growth: int) -> None:
        """Say early that the disk will be full before retention has something to remove."""
        disk = os.statvfs(self._path.parent)
        room = disk.f_bavail * disk.f_frsize
        if (growth > room) != self._tight:
            self._tight = growth > room
            if self._tight:
                log.warning("the journal may grow by %d bytes (keep_bytes); its disk has room for %d", growth, room)

    def remember_listeners(self, hosts: list[str]) -> bool:
        """Note who listens, for the next start to wait for.

        Args:
            hosts: IP addresses, one for each connection.

        Returns:
            Whether it is noted.
        """
        if self.journal is None:
            return False
        try:
            self.journal.remember_listeners(hosts)
        except JournalError as error:
            self._put_off(error)
            return False
        return True

    def close(self) -> None:
        """End: what was handed over is published."""
        if self.journal is not None:
            with suppress(JournalError):
                self.journal.mark_published(self.cursor.handed_over)
            self.journal.close()

    def _open(self, corrupt: bool = False) -> None:
        self._next_try = time.monotonic() + RETRY_SECONDS
        try:
            if corrupt:
                self._set_aside()
            try:
                self._take(Journal(self._path))
            except JournalCorruptError as error:
                if corrupt:
                    raise
                log.error("%s", error)
                self._open(corrupt=True)
        except JournalError as error:
            self._failed(error)

    def _set_aside(self) -> None:
        if time.monotonic() < self._next_aside:
            raise JournalError(f"journal {self._path}: can not be read again, {ASIDE_SECONDS:.0f} s after it was begun")
        try:
            self._aside = set_aside(self._path)
            self._next_aside = time.monotonic() + ASIDE_SECONDS
        except OSError as error:
            raise JournalError(f"journal {self._path}: {error}") from error

    def _take(self, journal: Journal) -> None:
        """Work with this journal from now on."""
        try:
            if self._aside:
                carried = journal.carry_over(self._aside, self.cursor.handed_over if self._last else None, self._last)
            window = Window(DEDUP_WINDOW, journal.recent(DEDUP_WINDOW))
            listeners = journal.listeners()
        except JournalError:
            journal.close()
            raise
        waiting = journal.last - journal.published
        self._carried += waiting - self.waiting
        if self._aside:
            # Of what was published from the old one retries are known all the same; what was lost they bring again.
            window.keep_from(self.window, self.cursor.handed_over)
            self.notices.append(f"a journal that could not be read was set aside as {self._aside}")
            found = f"of {waiting} messages that waited in it {carried} can be read"
            first = journal.published + 1
            untold = f"how many waited in it can not be told, {waiting} can be read, from seq {first} on"
            log.error("%s; %s", self.notices[-1], untold if carried is None else found)
            self._aside = None
        self.journal, self.window, self.cursor, self.listeners = journal, window, journal.cursor, listeners
        for fault in journal.faults:
            log.error("journal %s: %s", self._path, fault)
            self._notice(fault, f"journal: {fault}")
        self._corrupt = False
        self._works_again()
        log.info("journal %s: last seq %d, %d waiting", self._path, journal.last, self.waiting)

    def _try_to_write(self, journal: Journal) -> None:
        self._next_try = time.monotonic() + RETRY_SECONDS
        try:
            journal.try_to_write(self._failed_bytes)
        except JournalError as error:
            self._failed(error)
        else:
            self._works_again()

    def _failed(self, error: JournalError) -> None:
        self._corrupt = isinstance(error, JournalCorruptError)
        self._next_try = time.monotonic() + RETRY_SECONDS
        if str(error) != self.fault:
            log.error("journal can not be written, inbound is forwarded unjournaled, submit is busy: %s", error)
            self.fault = str(error)

    def _works_again(self) -> None:
        if self.fault:
            log.warning("journal is written again, after: %s", self.fault)
            self.fault = ""

    def _notice(self, about: str, notice: str) -> None:
        """Let an operator know; a later notice about the same takes the place of the one before."""
        self.notices = [*(other for other in self.notices if not other.endswith(about)), notice]

    def _put_off(self, error: JournalError) -> None:
        """What can wait is tried again later."""
        self._put_off_until = time.monotonic() + PUT_OFF_SECONDS
        log.error("%s", error)
        if isinstance(error, JournalCorruptError):
            self._failed(error)
