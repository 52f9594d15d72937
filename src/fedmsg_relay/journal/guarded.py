"""Reads the journal for the pipeline: a fault is noted and not raised, and seen to in the next turn."""

from __future__ import annotations

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.fault import Fault
from fedmsg_relay.journal.notices import Notices
from fedmsg_relay.journal.records import Entry, Record, Rejected
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.journal.waiting import Waiting, read_waiting
from fedmsg_relay.journal.window import fingerprint
from fedmsg_relay.runtime import limits


class GuardedReading:
    """Reads from the journal, if there is one.

    Attributes:
        journal: the journal; None while it cannot be opened.
        cursor: what of the journal is sent and published.
    """

    def __init__(self) -> None:
        self.journal: Journal | None = None
        self.cursor = Cursor()
        self._fault = Fault()
        self._notices = Notices()
        self._last = 0

    @property
    def fault(self) -> str:
        """Why the journal cannot be opened or written; empty while it can."""
        return self._fault.text

    @property
    def notices(self) -> list[str]:
        """Notices for the operator about lost messages and lost notes."""
        return self._notices.texts

    @property
    def last(self) -> int:
        """``seq`` of the last message in the journal."""
        return self.journal.last if self.journal else self._last

    @property
    def waiting(self) -> int:
        """Number of messages in the journal that were not sent yet."""
        return self.last - self.cursor.sent

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
        self._notices.note_damaged(waiting.damaged)
        return waiting
