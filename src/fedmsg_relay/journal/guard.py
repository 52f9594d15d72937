"""The guard of the journal: keeps it open and writable, and the relay at work while it is not.

A fault is noted when it shows. It is seen to at the beginning of the next turn of the pipeline
(:meth:`JournalGuard.recover`), so that the journal does not change in the middle of a turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.fault import Fault
from fedmsg_relay.journal.opener import Opener, Previous
from fedmsg_relay.journal.records import Entry, Record, Rejected
from fedmsg_relay.journal.retention import DEDUP_WINDOW, Retention
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.journal.upkeep import Upkeep
from fedmsg_relay.journal.waiting import Waiting, read_waiting
from fedmsg_relay.journal.window import Sighting, Window, fingerprint
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.drops import Allowance
from fedmsg_relay.runtime.log import log

REMOVED = " messages that waited for CA or CRL were removed from the quarantine, which is full"

DAMAGED = " messages of the journal are damaged, they are not published"


class JournalGuard:
    """Keeps the relay's journal open and writable.

    Args:
        path: of ``journal.db``.

    Attributes:
        journal: the journal; None while it cannot be opened.
        notices: what an operator must know about messages and notes that were lost.
        window: the dedup window.
        cursor: what of the journal is sent and published.
        listeners: the listeners before this start, one for each connection.
    """

    def __init__(self, path: Path) -> None:
        self.journal: Journal | None = None
        self.notices: list[str] = []
        self.window = Window(DEDUP_WINDOW)
        self.cursor = Cursor()
        self.listeners: list[str] = []
        self._path = path
        self._fault = Fault()
        self._opener = Opener(path)
        self._upkeep = Upkeep(path, self._fault)
        self._carried = 0
        self._last = 0
        self._unwritten_bytes = 0
        self._damaged = self._removed = 0
        self._lines = Allowance()
        self._open()

    @property
    def fault(self) -> str:
        """Why the journal cannot be opened or written; empty while it can."""
        return self._fault.text

    @property
    def last(self) -> int:
        """``seq`` of the last message in the journal."""
        return self.journal.last if self.journal else self._last

    @property
    def waiting(self) -> int:
        """Number of messages in the journal that were not sent yet."""
        return self.last - self.cursor.sent

    @property
    def bytes(self) -> int:
        """Size of the journal when last looked."""
        return self._upkeep.bytes

    def take_carried(self) -> int:
        """Get how many messages waited in journals that were opened since this was last asked for.

        It is negative where a journal was set aside and fewer of its messages still wait.
        """
        carried, self._carried = self._carried, 0
        return carried

    # At work.

    def append(
        self,
        entries: Sequence[Entry],
        rejected: Sequence[Rejected],
        size: int,
        known: Mapping[str, tuple[Sighting, ...]],
        released: Sequence[int] = (),
    ) -> bool:
        """Put messages on disk: all of them or none.

        Args:
            entries: messages that were admitted.
            rejected: messages for the quarantine.
            size: bytes of all of them.
            known: where the entries will be, by their ``msg_id``: for the dedup window.
            released: ids of messages that leave the quarantine.

        Returns:
            Whether all of them are on disk.
        """
        if self.journal is None:
            return False
        if entries or rejected or released:
            try:
                self.journal.append(entries, rejected, size, released)
            except JournalError as error:
                self._unwritten_bytes = size
                self._fault.note(error)
                return False
            self._fault.note_written()
            self.window.add(known)
            self._tell_of_removed(self.journal.quarantine.removed_waiting)
        return True

    def read_quarantined(self, number: int) -> Rejected | None:
        """Do what :meth:`.Quarantine.read` does; None also where the journal cannot be read, which is then a fault."""
        if self.journal is None:
            return None
        try:
            return self.journal.quarantine.read(number)
        except JournalError as error:
            self._fault.note(error)
            return None

    def is_same(self, seq: int, seen: int | None, entry: Entry) -> bool:
        """Tell whether a message in the dedup window is the same as another one, byte for byte.

        Args:
            seq: of the message in the window.
            seen: its fingerprint, where that is in memory.
            entry: the other message.

        Returns:
            Whether it is the same; False where the journal cannot be read.
        """
        if seen is not None or self.journal is None:
            return seen == fingerprint(entry.topic, entry.body)
        try:
            return self.journal.is_same(seq, entry)
        except JournalError as error:
            self._fault.note(error)
            return False

    def read(self, seq: int) -> Record | None:
        """Do what :meth:`.Journal.read` does; None also where the journal cannot be read, which is then a fault."""
        if self.journal is None:
            return None
        try:
            return self.journal.read(seq)
        except JournalError as error:
            self._fault.note(error)
            return None

    def next_waiting(self, limit: int, max_bytes: int = limits.TURN_BYTES) -> Waiting:
        """Read the next messages that were not sent yet.

        Args:
            limit: maximum number of messages.
            max_bytes: maximum bytes of them; a larger message comes alone.

        Returns:
            The messages; none where the journal cannot be read.
        """
        none = Waiting([], self.cursor.sent, 0)
        if self.journal is None or not self.waiting:
            return none
        try:
            waiting = read_waiting(self.journal, limit, max_bytes)
        except JournalError as error:
            self._fault.note(error)
            return none
        if waiting.damaged:
            self._damaged += waiting.damaged
            self._notice(DAMAGED, f"{self._damaged}{DAMAGED}")
        return waiting

    def mark_published(self, seq: int) -> None:
        """Note in the journal which messages are out for good. If this cannot be written, it is tried again later.

        Args:
            seq: of the last of these messages.
        """
        if self.journal is not None:
            self._upkeep.mark_published(self.journal, seq)

    def trim(self, retention: Retention) -> bool:
        """Take a step of retention, if one is due.

        Args:
            retention: how long messages are kept.

        Returns:
            Whether there is more to do.
        """
        return self.journal is not None and self._upkeep.trim(self.journal, retention)

    def remember_listeners(self, hosts: list[str]) -> bool:
        """Note which listeners are connected, for the next start to wait for.

        Args:
            hosts: one for each connection, from :meth:`Outbound.hosts`.

        Returns:
            Whether it is noted.
        """
        return self.journal is not None and self._upkeep.remember_listeners(self.journal, hosts)

    def close(self) -> None:
        """Close the journal: all that was sent is published."""
        if self.journal is not None:
            with suppress(JournalError):
                self.journal.mark_published(self.cursor.sent)
            self.journal.close()

    # Opening.

    def recover(self) -> None:
        """See to a fault, if there is one: set an unreadable journal aside, try again to open or write another one."""
        if self._fault.is_broken and self.journal is not None:
            log.error("%s; %d messages wait in it", self.fault, self.waiting)
            self._last = self.journal.last
            self.journal.close()
            self.journal = None
            self._open(corrupt=True)
        elif self._fault.is_due():
            if self.journal is None:
                self._open()
            else:
                self._try_to_write(self.journal)

    def _open(self, corrupt: bool = False) -> None:
        self._fault.put_off()
        try:
            opened = self._opener.open(Previous(self.cursor, self._last, self.window), corrupt)
        except JournalError as error:
            self._fault.note(error)
            return
        journal = opened.journal
        self._carried += journal.last - journal.published - self.waiting
        self.journal, self.cursor = journal, journal.cursor
        self.window, self.listeners = opened.window, opened.listeners
        if opened.notice:
            self.notices.append(opened.notice)
        for fault in journal.faults:
            log.error("journal %s: %s", self._path, fault)
            self._notice(fault, f"journal: {fault}")
        self._fault.note_opened()
        log.info("journal %s: last seq %d, %d waiting", self._path, journal.last, self.waiting)

    def _try_to_write(self, journal: Journal) -> None:
        self._fault.put_off()
        try:
            journal.try_to_write(self._unwritten_bytes)
        except JournalError as error:
            self._fault.note(error)
        else:
            self._fault.note_written()

    def _tell_of_removed(self, removed: int) -> None:
        if removed > self._removed:
            self._removed = removed
            self._notice(REMOVED, f"{removed}{REMOVED}")
            if self._lines.take():
                log.error("%d%s", removed, REMOVED)

    def _notice(self, about: str, notice: str) -> None:
        """Let an operator know; a later notice about the same replaces the previous one."""
        self.notices = [*(other for other in self.notices if not other.endswith(about)), notice]
