"""The messages of the journal that is open for writing, as the relay reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fedmsg_relay.journal import window
from fedmsg_relay.journal.database import Database
from fedmsg_relay.journal.reading import Portion, read_message, read_next
from fedmsg_relay.journal.records import Entry, Record
from fedmsg_relay.journal.window import Sighting
from fedmsg_relay.runtime import limits


class Messages:
    """Reads the messages of a journal.

    Args:
        database: of the journal.

    Attributes:
        last: ``seq`` of the last message.
    """

    def __init__(self, database: Database) -> None:
        self.last = 0
        self._database = database
        self._db = database.connection

    def waiting(self, after: int, limit: int, max_bytes: int = limits.TURN_BYTES) -> Portion:
        """Get messages that were not published yet, oldest first.

        Args:
            after: ``seq`` after which to begin.
            limit: maximum number of messages.
            max_bytes: maximum bytes of them; a larger message comes alone.

        Raises:
            JournalCorruptError: they are not in their order.
            JournalError: they cannot be read.
        """
        with self._database.named_errors(reading=True):
            return read_next(self._db, after, self.last, limit, max_bytes)

    def is_same(self, seq: int, entry: Entry) -> bool:
        """Tell whether a message in the dedup window is the same as another one, byte for byte.

        Args:
            seq: of the message in the dedup window.
            entry: the other message.

        Returns:
            Whether it is the same; False where the block of the message is damaged.

        Raises:
            JournalError: it cannot be read.
        """
        with self._database.named_errors(reading=True), suppress(ValueError):
            return window.is_same(self._db, seq, entry)
        return False

    def read(self, seq: int) -> Record | None:
        """Read a message.

        Args:
            seq: of the message.

        Returns:
            The message; None where it is damaged, or not there any more.

        Raises:
            JournalError: it cannot be read.
        """
        with self._database.named_errors(reading=True), suppress(ValueError):
            record = read_message(self._db, seq)
            return record if record and record.intact else None
        return None

    def recent(self, messages: int) -> Iterator[tuple[str, Sighting]]:
        """Get the newest messages by their ``msg_id``, oldest first, to rebuild the dedup window.

        Args:
            messages: number of messages to look at. Messages that retention has removed count as well.

        Raises:
            JournalError: they cannot be read.
        """
        with self._database.named_errors(reading=True):
            yield from window.read_recent(self._db, self.last - messages)
