"""The guard of the journal: keeps it open and writable, and the relay at work while it is not.

A fault is noted when it shows. It is seen to at the beginning of the next turn of the pipeline
(:meth:`JournalGuard.recover`), so that the journal does not change in the middle of a turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.guarded import GuardedReading
from fedmsg_relay.journal.opener import Opener, Previous
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.retention import DEDUP_WINDOW, Retention
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.journal.upkeep import Upkeep
from fedmsg_relay.journal.window import Sighting, Window
from fedmsg_relay.runtime.log import log


class JournalGuard(GuardedReading):
    """Keeps the relay's journal open and writable.

    Args:
        path: of ``journal.db``.

    Attributes:
        window: the dedup window.
        listeners: the listeners before this start, one for each connection.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.window = Window(DEDUP_WINDOW)
        self.listeners: list[str] = []
        self._path = path
        self._opener = Opener(path)
        self._upkeep = Upkeep(path, self._fault)
        self._carried = 0
        self._unwritten_bytes = 0
        self._open()

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
            self._notices.note_removed(self.journal.quarantine.removed_waiting)
        return True

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
            self._notices.add(opened.notice, opened.notice)
        for fault in journal.faults:
            log.error("journal %s: %s", self._path, fault)
            self._notices.add(fault, f"journal: {fault}")
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
