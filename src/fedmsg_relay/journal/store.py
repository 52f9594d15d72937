"""The journal: what the relay accepted, in order, on disk before anybody hears of it.

Format (version 2): one SQLite database in WAL mode, ``journal.db``, which any ``sqlite3`` can open. Its pages have
16 KiB, as long bodies then take a third less of CPU; the size of a page is no part of the format.

- ``message``: ``seq`` (1, 2, 3, ... without gaps but for the front: what retention removed, and see Recovery),
  ``time`` (Unix microseconds when it was journaled), ``msg_id`` (of the envelope, or NULL), ``topic`` and ``body`` (the
  two frames, byte for byte), ``crc`` (of all of it, see :func:`.records.checksum`; below 2^32 it is from
  format 1, and the CRC-32 of topic, then body, alone).
- ``state``: one row: ``format``, ``published``, the last ``seq`` that was handed to outbound, and ``listeners``, the
  checksum of the addresses in ``listener``. ``crc`` is the check of the row (:mod:`fedmsg_relay.journal.position`).
- ``batch``: one row, written with each batch: ``published`` as it was then, ``last``, its last ``seq``, and ``crc``.
- ``listener``: the IP addresses of the listeners that were connected last, one row for each connection.
- ``name``: ``seq``, ``msg_id`` and a digest of topic and body of each message of the dedup window that retention has
  removed: what a retry of it is known by.
- ``quarantine``: what was not well-formed or was refused: ``time``, ``reason``, ``source`` (IP address), ``topic`` and
  ``body`` (cut at ``FRAME_BYTES``), ``size`` (before the cut). Its bounds: :mod:`fedmsg_relay.journal.quarantine`.

Format 1 had neither ``batch`` nor ``name``, and of ``state`` only ``format`` and ``published``. It is read, and
converted when it is opened for writing: the messages stay as they are.

Invariants:

1. A batch is one transaction, synced to disk (``synchronous=FULL``) before :meth:`Journal.append` returns.
2. ``published`` never passes the last ``seq``, and never goes back.
3. What is above ``published`` has not been handed to outbound, or only just: it goes out first at the next start. After
   a crash the last batch may therefore be published twice; it is never lost.
4. Retention removes only from the front, only what is published, and never the newest message: no ``seq`` is used
   twice.
5. Nothing is acted on without a check. ``published`` and the last ``seq`` are noted twice; where one of the notes is
   not what was written the other one holds, and an error in the log says what follows.

Recovery: a torn tail is cut by SQLite's WAL checksums: such a batch was never acknowledged. A database that can not be
read is set aside as ``journal.db.corrupt-TIME`` and a new one begun, with an error in the log; the relay goes on, and
so do the numbers; where the last one can not be told they begin above the Unix time in microseconds, so that none is
used twice. This may show only later, in the middle of the work; then it is done at once. What waited in it and
can still be read is carried over, with its ``seq``; what can not is missing in the new one, and counted as damaged.
A flipped bit inside a message shows in its ``crc``: it is reported and that message is not published. Messages that
are not in the order of their ``seq``, or beyond the last one, are no journal any more.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fedmsg_relay.errors import JournalCorruptError, JournalError, RelayError
from fedmsg_relay.journal import broken, position, quarantine, retention, schema
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.quarantine import Quarantine
from fedmsg_relay.journal.records import Entry, Record, Rejected, checksum, digest, read_records
from fedmsg_relay.journal.room import Room
from fedmsg_relay.journal.salvage import Remains
from fedmsg_relay.journal.window import Sighting, fingerprint
from fedmsg_relay.runtime import limits

FINGERPRINT_BYTES = 4096
"""Messages below are read at the start, so that retries of them are known even where the journal is then lost."""

UNKNOWN = "?"
"""Stands for listeners that were connected, where it can not be told which."""


class Journal:
    """The relay's journal, open for writing. Used by one thread.

    Args:
        path: of ``journal.db``; made when it is not there.

    Attributes:
        last: ``seq`` of the last message.
        cursor: what of it is handed over and published.
        faults: what of its notes could not be trusted when it was opened, and what follows from that.

    Raises:
        JournalCorruptError: the file is no journal any more.
        JournalError: it can not be opened: full or read-only disk, no permission.
        ConfigError: a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[str] = []
        with self._faults():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = schema.open_for_writing(path)
            try:
                self._db.execute("PRAGMA synchronous = FULL")
                self._room = Room(path, self._db)
                self._quarantine = Quarantine(self._db)
                self._page_size = self._number("PRAGMA page_size")
                self._find()
            except BaseException:
                self._db.close()
                raise

    def _find(self) -> None:
        """Find out where it is, and write the notes of that anew where they are not what was written."""
        found = position.find(self._db)
        position.refuse_beyond(self._db, found.last)
        self.cursor, self.last = Cursor(found.published), found.last
        addresses = self._addresses()
        self._listeners = position.seal_listeners(addresses)
        self._all_listeners_known = self._listeners == found.listeners
        if not self._all_listeners_known:
            self.faults.append(
                "the note of who listened is damaged: publishing waits as long as it may for all of them"
            )
        self.faults += found.faults
        if self.faults:
            with self._transaction():
                position.begin(self._db, self.published, self.last, self._listeners)

    @property
    def published(self) -> int:
        """``seq`` of the last message that is noted as published."""
        return self.cursor.published

    def append(self, entries: Sequence[Entry], rejected: Sequence[Rejected] = (), size: int = 0) -> None:
        """Journal one batch: on disk when this returns, or not at all.

        Args:
            entries: messages; they get the next ``seq`` in their order.
            rejected: for the quarantine.
            size: bytes of all of it.

        Raises:
            JournalError: it could not be written; nothing of it was.
        """
        now = time.time_ns() // 1000
        seq = self.last
        rows = [
            (seq + i, now, msg_id, topic, body, checksum(seq + i, now, msg_id, topic, body))
            for i, (topic, body, msg_id) in enumerate(entries, start=1)
        ]
        with self._faults():
            self._room.require(size)
        try:
            with self._transaction():
                if rows:
                    self._db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", rows)
                    position.note_batch(self._db, self.published, seq + len(rows))
                if rejected:
                    self._quarantine.add(now, rejected)
        except JournalError:
            self._room.write_back()
            if rejected:
                with self._faults():
                    self._quarantine.count()
            raise
        self.last += len(rows)

    def carry_over(self, aside: Path, published: int | None, last: int) -> int | None:
        """Take over, into this journal that is new, what waits in one that was set aside.

        Args:
            aside: where that one is now.
            published: its last message that was handed over; None to read that from it.
            last: ``seq`` of its last message; 0 to read that from it.

        Returns:
            How many messages it took over; those that can not be read are missing before ``last``. None where it can
            not be told how many waited: what can be read of them then gets a new ``seq``, above any that was used.

        Raises:
            JournalError: they could not be written.
        """
        with self._faults(), contextlib.closing(Remains(aside)) as remains:
            after = remains.published() if published is None else published
            end = last or remains.last()
            found: Iterable[Record] = () if after is None else remains.messages(after, end)
            told = after is not None and end is not None
            if after is None or end is None:
                after = end = time.time_ns() // 1000  # no relay has had a message for each microsecond
                found = (_renumbered(record, seq) for seq, record in enumerate(found, after + 1))
            addresses = remains.listeners()
            self._all_listeners_known = addresses is not None
            listeners = position.seal_listeners(addresses or [])
            with self._transaction():
                insert = "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)"
                carried = self._db.executemany(insert, found).rowcount
                end = max(after, end) if told else after + carried
                position.begin(self._db, after, end, listeners)
                self._db.executemany("INSERT INTO listener VALUES (?)", [(host,) for host in addresses or []])
            self.cursor, self.last, self._listeners = Cursor(after), end, listeners
            return carried if told else None

    def try_to_write(self, size: int) -> None:
        """Find out whether the journal can be written.

        Args:
            size: bytes that there must be room for.

        Raises:
            JournalError: it can not.
        """
        with self._faults():
            self._room.write_back()
            self._room.require(size)
        with self._transaction():
            position.note_published(self._db, self.published, self._listeners)

    def mark_published(self, seq: int) -> None:
        """Note that everything up to ``seq`` was handed to outbound.

        This survives a kill at once but a power cut only with the next batch: then those few go out again.

        Args:
            seq: of the last message handed over.

        Raises:
            JournalError: it could not be written.
        """
        with self._without_sync(), self._faults():
            position.note_published(self._db, seq, self._listeners)
        self.cursor.settle(seq)

    def remember_listeners(self, addresses: Sequence[str]) -> None:
        """Note who is listening, for the next start to wait for.

        Args:
            addresses: IP addresses, one for each connection.

        Raises:
            JournalError: it could not be written.
        """
        listeners = position.seal_listeners(addresses)
        with self._without_sync(), self._transaction():
            self._db.execute("DELETE FROM listener")
            self._db.executemany("INSERT INTO listener VALUES (?)", [(address,) for address in addresses])
            position.note_published(self._db, self.published, listeners)
        self._listeners = listeners

    def listeners(self) -> list[str]:
        """Get the IP addresses of the listeners that were connected last, one for each connection.

        Where they can not be trusted ``UNKNOWN``, which nobody has, is one of them.

        Raises:
            JournalError: they can not be read.
        """
        with self._faults():
            return self._addresses() + ([] if self._all_listeners_known else [UNKNOWN])

    def waiting(self, after: int, limit: int, max_bytes: int = limits.TURN_BYTES) -> list[Record]:
        """Get messages that were not published yet, oldest first.

        Args:
            after: ``seq`` after which to begin.
            limit: messages at most.
            max_bytes: bytes of them at most; one of more comes alone.

        Returns:
            The next messages.

        Raises:
            JournalCorruptError: they are not in their order.
            JournalError: they can not be read.
        """
        with self._faults(reading=True):
            records: list[Record] = []
            size = 0
            for record in read_records(self._db, "WHERE seq > ? ORDER BY seq LIMIT ?", after, limit):
                size += record.size
                if records and size > max_bytes:
                    break
                records.append(record)
            seqs = [after, *(record.seq for record in records), self.last + 1]
            if any(seq >= following for seq, following in itertools.pairwise(seqs)):
                raise position.UntrustedError(f"messages after seq {after} are not in their order")
        return records

    def holds(self, seq: int, entry: Entry) -> bool:
        """Tell whether a message is the one of that number, byte for byte.

        Args:
            seq: of a message in the dedup window.
            entry: a message.

        Raises:
            JournalError: it can not be read.
        """
        # Bytes are only looked at where there are as many.
        same = "length(topic) = ? AND length(body) = ? AND topic = ? AND body = ?"
        frames = len(entry.topic), len(entry.body), entry.topic, entry.body
        with self._faults(reading=True):
            row = self._db.execute(f"SELECT {same} FROM message WHERE seq = ?", (*frames, seq)).fetchone()  # noqa: S608
            if row is not None:
                return bool(row[0])
            row = self._db.execute("SELECT digest FROM name WHERE seq = ?", (seq,)).fetchone()
            return row is not None and row[0] == digest(entry.topic, entry.body)

    def recent(self, window: int) -> Iterator[tuple[str, Sighting]]:
        """Get the newest messages by their ``msg_id``, oldest first, to rebuild the dedup window.

        Args:
            window: how many of the newest messages to look at; of those that retention has removed, too.

        Raises:
            JournalError: they can not be read.
        """
        after = self.last - window
        with self._faults(reading=True):
            for msg_id, seq in self._db.execute("SELECT msg_id, seq FROM name WHERE seq > ? ORDER BY seq", (after,)):
                yield msg_id, (seq, None)
            small = f"length(topic) + length(body) < {FINGERPRINT_BYTES}"
            query = (
                f"SELECT msg_id, seq, topic, iif({small}, body, NULL) FROM message "  # noqa: S608 -- a number
                "WHERE seq > ? AND msg_id IS NOT NULL ORDER BY seq"
            )
            for msg_id, seq, topic, body in self._db.execute(query, (after,)):
                yield msg_id, (seq, None if body is None else fingerprint(topic, body))

    def size(self) -> int:
        """Bytes of the database that hold something.

        Raises:
            JournalError: it can not be read.
        """
        with self._faults():
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._page_size

    def crowded(self) -> bool:
        """Tell whether retention has to make room now, as it is the journal that fills its disk.

        Raises:
            JournalError: it can not be told.
        """
        with self._faults():
            return self._room.short and self._room.lacking(self.size()) > 0

    def trim(self, keep_seconds: float, keep_bytes: int) -> int:
        """Take one step of retention: remove some of the oldest published messages that are too old or too many.

        Args:
            keep_seconds: age a message may reach.
            keep_bytes: size the journal may reach, with a share for the quarantine.

        Returns:
            0 when nothing is left to do; else how much was done.

        Raises:
            JournalError: it could not be written.
        """
        with self._faults():
            return self._trim(keep_seconds, keep_bytes)

    def _trim(self, keep_seconds: float, keep_bytes: int) -> int:
        if self._quarantine.surplus(keep_bytes):
            with self._transaction():
                return self._quarantine.trim()
        limit = min(self.published, self.last - 1)
        oldest = self._number("SELECT coalesce(min(seq), 0) FROM message")
        if oldest > self.last:
            position.refuse_beyond(self._db, self.last)
        if 0 < oldest <= limit:
            used = self.size()
            messages = used - self._quarantine.size
            surplus = max(messages - (keep_bytes - quarantine.share(keep_bytes)), self._room.lacking(used))
            if upto := retention.choose(self._db, limit, surplus, keep_seconds, self._room.short):
                with self._transaction():
                    return retention.remove(self._db, upto, self.last)
        return retention.give_back(self._db)

    def close(self) -> None:
        """Close the database, with the WAL written back into it."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        with self._faults():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _faults(self, reading: bool = False) -> Iterator[None]:
        """Name the journal in what SQLite has to say, and tell what the disk does from what the file is."""
        try:
            yield
        except RelayError:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise JournalCorruptError(f"journal {self.path}: holds what was never written: {error}") from error
        except MemoryError as error:  # SQLite's too
            raise JournalError(f"journal {self.path}: out of memory") from error
        except (sqlite3.Error, OSError) as error:
            for_good = broken.is_broken(error) or (reading and broken.is_too_big(error))
            raise (JournalCorruptError if for_good else JournalError)(f"journal {self.path}: {error}") from error

    @contextlib.contextmanager
    def _without_sync(self) -> Iterator[None]:
        """For what may be lost with the power, but not with the process."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    def _addresses(self) -> list[str]:
        return [str(address) for (address,) in self._db.execute("SELECT address FROM listener")]

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


def _renumbered(record: Record, seq: int) -> Record:
    crc = checksum(seq, record.time, record.msg_id, record.topic, record.body)
    return record._replace(seq=seq, crc=crc)
