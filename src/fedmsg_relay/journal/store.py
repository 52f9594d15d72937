"""The journal: the messages that the relay accepted, in order, on disk before any listener gets them.

Its file and format: :mod:`fedmsg_relay.journal.schema`.

Invariants:

1. What one call of :meth:`Journal.append` adds is one transaction, synced to disk before the call returns.
2. ``published`` never passes the last ``seq``, and never goes back.
3. A message above ``published`` has not been sent to outbound, or only just: it goes out first at the next start.
   After a crash the last messages may therefore be published twice; they are never lost.
4. Retention removes only the oldest blocks, only published ones, and never the newest one: no ``seq`` is used twice.
5. Nothing is acted on without a check. ``published`` and the last ``seq`` are noted twice. Where one of the notes is
   not what was written, the other one holds, and an error in the log says what follows.

Recovery:

- A torn tail is cut by SQLite's WAL checksums: such messages were never acknowledged.
- A database that cannot be read is set aside as ``journal.db.corrupt-TIME`` and a new one begun, with an error in the
  log. The relay goes on, and so do the numbers. Where the last number is not known, they begin above the Unix time in
  microseconds, so that none is used twice. If damage shows only later, in the middle of the work, this is done then.
- Messages that waited in it and can still be read are carried over, with their ``seq``. The others are missing in the
  new journal, and are counted as damaged.
- A flipped bit inside a block shows in its ``crc``: it is reported, and the messages of that block (at most
  :data:`.block.MESSAGES`) are not published.
- A file whose blocks are not in the order of their ``seq``, or beyond the last one, is not a journal any more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import block, position, salvage
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.database import Database
from fedmsg_relay.journal.messages import Messages
from fedmsg_relay.journal.noted_listeners import NotedListeners
from fedmsg_relay.journal.numbers import Numbers
from fedmsg_relay.journal.publish_times import PublishTimes
from fedmsg_relay.journal.quarantine import Quarantine
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.retention import Trimmer
from fedmsg_relay.journal.room import Room


class Journal(Messages):
    """The relay's journal, open for writing. Used by one thread.

    Args:
        path: of ``journal.db``; made when it is not there.

    Attributes:
        last: ``seq`` of the last message.
        cursor: what of it is sent and published.
        quarantine: the messages that were not taken.
        trimmer: takes the steps of retention.
        faults: notes that could not be trusted when it was opened, and what follows from that.

    Raises:
        JournalCorruptError: the file is not a journal any more.
        JournalError: it cannot be opened: full or read-only disk, no permission.
        ConfigError: a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path))
        self.faults: list[str] = []
        try:
            with self._database.named_errors():
                self._room = Room(path, self._db)
                self._numbers = Numbers(self._db)
                self.quarantine = Quarantine(self._database)
                self._listeners = NotedListeners(self._database)
                self._times = PublishTimes(self._db)
                self.trimmer = Trimmer(self._database, self.quarantine, self._room)
                self._find()
        except BaseException:
            self._db.close()
            raise

    def _find(self) -> None:
        """Find the position, and write its notes anew where they are not what was written."""
        found = position.find(self._db)
        position.refuse_beyond(self._db, found.last)
        self.cursor, self.last = Cursor(found.published), found.last
        self._listeners.compare(found.listeners)
        if not self._listeners.complete:
            self.faults.append(
                "the note of the listeners is damaged: publishing waits its maximum time for all of them"
            )
        self.faults += found.faults
        if self.faults:
            with self._database.transaction():
                position.begin(self._db, self.published, self.last, self._listeners.seal)

    @property
    def published(self) -> int:
        """``seq`` of the last message that is noted as published."""
        return self.cursor.published

    # Writing.

    def append(
        self,
        entries: Sequence[Entry],
        rejected: Sequence[Rejected] = (),
        size: int = 0,
        released: Sequence[int] = (),
    ) -> None:
        """Journal messages: they are on disk when this returns, or none of them is.

        Args:
            entries: messages; they get the next ``seq`` in their order.
            rejected: messages for the quarantine.
            size: bytes of all of them.
            released: ids of messages that leave the quarantine.

        Raises:
            JournalError: they could not be written; none of them was.
        """
        now = time.time_ns() // 1000
        last = self.last + len(entries)
        with self._database.named_errors():
            self._room.require(size)
        self.quarantine.begin()
        try:
            with self._database.transaction():
                if entries:
                    block.insert(self._db, block.pack(self.last + 1, now, entries))
                    self._numbers.reach(self.last + 1, last)
                    position.note_tail(self._db, self.published, self.last, last)
                if released:
                    self.quarantine.release(released)
                if rejected:
                    self.quarantine.add(now, rejected)
        except JournalError:
            self._room.write_back()
            if rejected or released:
                with self._database.named_errors():
                    self.quarantine.count()
            raise
        self.last = last
        self._numbers.note(last)

    def carry_over(self, aside: Path, published: int | None, last: int) -> int | None:
        """Take over, into this new journal, messages that wait in a journal that was set aside.

        Args:
            aside: path of the old one.
            published: ``seq`` of its last message that was sent; None to read that from it.
            last: ``seq`` of its last message; 0 to read that from it.

        Returns:
            Number of messages that were taken over; None where it is not known how many waited.

        Raises:
            JournalError: they could not be written.
        """
        with self._database.named_errors(), contextlib.closing(salvage.Remains(aside)) as remains:
            with self._database.transaction():
                carried = salvage.carry_over(self._db, remains, published, last)
            self.cursor, self.last = Cursor(carried.published), carried.last
            self._numbers = Numbers(self._db)
            self._listeners.take_over(carried.listeners, carried.all_listeners)
            return carried.messages

    def try_to_write(self, size: int) -> None:
        """Find out whether the journal can be written.

        Args:
            size: bytes that there must be room for.

        Raises:
            JournalError: it cannot be written.
        """
        with self._database.named_errors():
            self._room.write_back()
            self._room.require(size)
        with self._database.transaction():
            position.note_published(self._db, self.published, self._listeners.seal)

    def mark_published(self, seq: int) -> None:
        """Note that everything up to ``seq`` was sent to outbound.

        This survives a kill at once, but a power cut only with the next messages: then those few go out again.

        Args:
            seq: of the last message sent.

        Raises:
            JournalError: it could not be written.
        """
        with self._database.without_sync(), self._database.transaction():
            position.note_published(self._db, seq, self._listeners.seal)
            if seq > self.published:
                self._times.add(self.published, seq)
        self._times.note()
        self.cursor.note_published(seq)

    def remember_listeners(self, addresses: Sequence[str]) -> None:
        """Note which listeners are connected, for the next start to wait for.

        Args:
            addresses: IP addresses, one for each connection.

        Raises:
            JournalError: it could not be written.
        """
        self._listeners.replace(addresses, self.published)

    def listeners(self) -> list[str]:
        """Get the IP addresses of the listeners that were connected last, one for each connection.

        Where they cannot be trusted, ``UNKNOWN``, which no listener has, is one of them.

        Raises:
            JournalError: they cannot be read.
        """
        with self._database.named_errors():
            return self._listeners.addresses()

    # Retention.

    def size(self) -> int:
        """Get the bytes of the database that hold something.

        Raises:
            JournalError: it cannot be read.
        """
        with self._database.named_errors():
            return self._database.size()

    def trim(self, keep_seconds: float, keep_bytes: int, sent: int | None = None) -> int:
        """Take one step of retention: remove some of the oldest published messages that are too old or too many.

        Args:
            keep_seconds: maximum age of a message.
            keep_bytes: maximum size of the journal, with a share for the quarantine.
            sent: ``seq`` of the last message that the bridge has sent; None where there is no bridge.

        Returns:
            0 when nothing is left to do; else how much was done.

        Raises:
            JournalError: it could not be written.
        """
        with self._database.named_errors():
            return self.trimmer.step(self.published, self.last, keep_seconds, keep_bytes, sent)

    def close(self) -> None:
        """Close the database, with the WAL written back into it."""
        self._database.close()
