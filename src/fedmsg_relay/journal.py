"""The journal: what the relay accepted, in order, on disk before anybody hears of it.

Format (version 1): one SQLite database in WAL mode, ``journal.db``, which any ``sqlite3`` can open. Its pages have
16 KiB, as long bodies then take a third less of CPU; the size of a page is no part of the format.

- ``message``: ``seq`` (1, 2, 3, ... without gaps but for the front: what retention removed, and see Recovery),
  ``time`` (Unix microseconds when it was journaled), ``msg_id`` (of the envelope, or NULL), ``topic`` and ``body`` (the
  two frames, byte for byte), ``crc`` (CRC-32 of topic, then body).
- ``quarantine``: what was not well-formed or was refused: ``time``, ``reason``, ``source`` (IP address), ``topic`` and
  ``body`` (cut at ``QUARANTINE_BYTES``), ``size`` (before the cut). The oldest make room beyond ``QUARANTINE_ROWS``.
- ``state``: one row: ``format``, and ``published``, the last ``seq`` that was handed to outbound.
- ``listener``: the IP addresses of the listeners that were connected last, one row for each connection.

Invariants:

1. A batch is one transaction, synced to disk (``synchronous=FULL``) before :meth:`Journal.append` returns.
2. ``published`` never passes the last ``seq``, and never goes back.
3. What is above ``published`` has not been handed to outbound, or only just: it goes out first at the next start. After
   a crash the last batch may therefore be published twice; it is never lost.
4. Retention removes only from the front, only what is published, and never the newest message: no ``seq`` is used
   twice.

Recovery: a torn tail is cut by SQLite's WAL checksums: such a batch was never acknowledged. A database that can not be
read is set aside as ``journal.db.corrupt-TIME`` and a new one begun, with an error in the log; the relay goes on, and
so do the numbers; where the last one can not be told they begin above the Unix time in microseconds, so that none is
used twice. This may show only later, in the middle of the work; then it is done at once. What waited in it and
can still be read is carried over, with its ``seq``; what can not is missing in the new one, and counted as damaged.
A flipped bit inside a message shows in its ``crc``: it is reported and that message is not published.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from fedmsg_relay.errors import ConfigError, JournalCorruptError, JournalError, RelayError
from fedmsg_relay.records import Entry, Record, Rejected, checksum, lenient_text, read_records
from fedmsg_relay.salvage import Remains

FORMAT = 1
QUARANTINE_ROWS = 10_000
QUARANTINE_BYTES = 8_192
TRIM_ROWS = 5_000
TRIM_BYTES = 16 * 1024 * 1024
"""Rows, and bytes, that one step of retention removes at most, so that it never holds up the pipeline for long."""

SPARE_PAGES = 250
"""Free pages that are not given back to the disk: the next messages need them."""

WAL_BYTES = 64 * 1024 * 1024
"""What the WAL may keep of the disk after a reader had held it up."""

LOCK_SECONDS = 1.0
"""How long another program that locks the journal against writing may hold up the pipeline."""

_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, msg_id TEXT, topic BLOB NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, topic BLOB NOT NULL,
    body BLOB NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE state (format INTEGER NOT NULL, published INTEGER NOT NULL);
CREATE TABLE listener (address TEXT NOT NULL);
COMMIT;
"""


class Journal:
    """The relay's journal, open for writing. Used by one thread.

    Args:
        path: of ``journal.db``; made when it is not there.

    Raises:
        JournalCorruptError: the file is no journal any more.
        JournalError: it can not be opened: full or read-only disk, no permission.
        ConfigError: a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._faults():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _open(path)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            self.published = self._number("SELECT published FROM state")
            self.last = max(self._number("SELECT coalesce(max(seq), 0) FROM message"), self.published)
            self._quarantined = self._number("SELECT count(*) FROM quarantine")
            self._page_size = self._number("PRAGMA page_size")

    def append(self, entries: Sequence[Entry], rejected: Sequence[Rejected] = ()) -> None:
        """Journal one batch: on disk when this returns, or not at all.

        Args:
            entries: messages; they get the next ``seq`` in their order.
            rejected: for the quarantine.

        Raises:
            JournalError: it could not be written; nothing of it was.
        """
        now = time.time_ns() // 1000
        seq = self.last
        rows = [
            (seq + i, now, msg_id, topic, body, checksum(topic, body))
            for i, (topic, body, msg_id) in enumerate(entries, start=1)
        ]
        with self._transaction():
            self._db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", rows)
            if rejected:
                self._quarantine(now, rejected)
        self.last += len(rows)
        self._quarantined = min(self._quarantined + len(rejected), QUARANTINE_ROWS)

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
                found = (record._replace(seq=seq) for seq, record in enumerate(found, after + 1))
            with self._transaction():
                insert = "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?, ?)"
                carried = self._db.executemany(insert, found).rowcount
                self._db.execute("UPDATE state SET published = ?", (after,))
                self._db.executemany("INSERT INTO listener VALUES (?)", [(host,) for host in remains.listeners()])
            self.published, self.last = after, max(after, end) if told else after + carried
            return carried if told else None

    def try_to_write(self, size: int) -> None:
        """Find out whether the journal can be written.

        Args:
            size: bytes that there must be room for.

        Raises:
            JournalError: it can not.
        """
        with self._faults():
            # A page more may still find its place in files that exist.
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with self._transaction():
            self._db.execute("UPDATE state SET format = format")

    def mark_published(self, seq: int) -> None:
        """Note that everything up to ``seq`` was handed to outbound.

        This survives a kill at once but a power cut only with the next batch: then those few go out again.

        Args:
            seq: of the last message handed over.

        Raises:
            JournalError: it could not be written.
        """
        self._unsynced("UPDATE state SET published = ?", [(seq,)])
        self.published = seq

    def remember_listeners(self, addresses: Iterable[str]) -> None:
        """Note who is listening, for the next start to wait for.

        Args:
            addresses: IP addresses, one for each connection.

        Raises:
            JournalError: it could not be written.
        """
        with self._without_sync(), self._transaction():
            self._db.execute("DELETE FROM listener")
            self._db.executemany("INSERT INTO listener VALUES (?)", [(address,) for address in addresses])

    def listeners(self) -> list[str]:
        """Get the IP addresses of the listeners that were connected last, one for each connection.

        Raises:
            JournalError: they can not be read.
        """
        with self._faults():
            return [str(address) for (address,) in self._db.execute("SELECT address FROM listener")]

    def waiting(self, after: int, limit: int) -> list[Record]:
        """Get messages that were not published yet, oldest first.

        Args:
            after: ``seq`` after which to begin.
            limit: messages at most.

        Returns:
            The next messages.

        Raises:
            JournalError: they can not be read.
        """
        with self._faults():
            return list(read_records(self._db, "WHERE seq > ? ORDER BY seq LIMIT ?", after, limit))

    def recent_ids(self, window: int) -> Iterator[tuple[str, int]]:
        """Get ``msg_id`` and ``seq`` of the newest messages, oldest first, to rebuild the dedup window.

        Args:
            window: how many of the newest messages to look at.

        Raises:
            JournalError: they can not be read.
        """
        query = "SELECT msg_id, seq FROM message WHERE seq > ? AND msg_id IS NOT NULL ORDER BY seq"
        with self._faults():
            yield from self._db.execute(query, (self.last - window,))

    def size(self) -> int:
        """Bytes of the database that hold something.

        Raises:
            JournalError: it can not be read.
        """
        with self._faults():
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._page_size

    def trim(self, keep_seconds: float, keep_bytes: int) -> int:
        """Take one step of retention: remove some of the oldest published messages that are too old or too many.

        Args:
            keep_seconds: age a message may reach.
            keep_bytes: size the journal may reach.

        Returns:
            0 when nothing is left to do; else how much was done.

        Raises:
            JournalError: it could not be written.
        """
        with self._faults():
            return self._trim(keep_seconds, keep_bytes)

    def _trim(self, keep_seconds: float, keep_bytes: int) -> int:
        limit = min(self.published, self.last - 1)
        oldest = self._number("SELECT coalesce(min(seq), 0) FROM message")
        if not 0 < oldest <= limit:
            return self._give_back()
        surplus = self.size() - keep_bytes
        too_old = time.time_ns() // 1000 - int(keep_seconds * 1e6)
        upto = freed = 0
        query = "SELECT seq, time, length(topic) + length(body) FROM message WHERE seq <= ? ORDER BY seq LIMIT ?"
        for seq, journaled, length in self._db.execute(query, (limit, TRIM_ROWS)).fetchall():
            if (freed >= surplus and journaled >= too_old) or freed >= TRIM_BYTES:
                break
            upto, freed = seq, freed + length
        if not upto:
            return self._give_back()
        with self._transaction():
            removed = self._db.execute("DELETE FROM message WHERE seq <= ?", (upto,)).rowcount
        return int(removed)

    def _give_back(self) -> int:
        """Give some free pages back to the disk; a few are kept for what comes next."""
        free = self._number("PRAGMA freelist_count")
        if free <= SPARE_PAGES:
            return 0
        # As a script: execute() takes one step of it only, which is one page.
        self._db.executescript(f"PRAGMA incremental_vacuum({SPARE_PAGES})")
        return min(free - SPARE_PAGES, SPARE_PAGES)

    def close(self) -> None:
        """Close the database, with the WAL written back into it."""
        self._db.close()

    def _quarantine(self, now: int, rejected: Sequence[Rejected]) -> None:
        self._db.executemany(
            "INSERT INTO quarantine (time, reason, source, topic, body, size) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (now, r.reason, r.source, r.topic[:QUARANTINE_BYTES], r.body[:QUARANTINE_BYTES], r.size)
                for r in rejected
            ],
        )
        surplus = self._quarantined + len(rejected) - QUARANTINE_ROWS
        if surplus > 0:
            oldest = "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine ORDER BY id LIMIT ?)"
            self._db.execute(oldest, (surplus,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        with self._faults():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except sqlite3.Error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Name the journal in what SQLite has to say, and tell what the disk does from what the file is."""
        try:
            yield
        except RelayError:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise JournalCorruptError(f"journal {self.path}: holds what was never written: {error}") from error
        except (sqlite3.Error, OSError) as error:
            kind = JournalCorruptError if _is_corrupt(error) else JournalError
            raise kind(f"journal {self.path}: {error}") from error

    @contextlib.contextmanager
    def _without_sync(self) -> Iterator[None]:
        """For what may be lost with the power, but not with the process."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    def _unsynced(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._without_sync(), self._faults():
            self._db.executemany(statement, rows)

    def _number(self, query: str, *parameters: object) -> int:
        return int(self._db.execute(query, parameters).fetchone()[0])


def _is_corrupt(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_SECONDS)
    db.text_factory = lenient_text
    try:
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'state'").fetchone():
            db.executescript(_SCHEMA)
            path.chmod(0o640)
        if not db.execute("SELECT format FROM state").fetchone():
            db.execute("INSERT INTO state VALUES (?, 0)", (FORMAT,))
        _refuse_newer(path, db)
        # Both ends are looked at, so that a file which is no journal any more is found now and not in the pipeline.
        for end in ("ASC", "DESC"):
            db.execute(f"SELECT seq, time, crc FROM message ORDER BY seq {end} LIMIT 1").fetchone()  # noqa: S608
        # SQLite opens what it may only read without a word, and would so keep it when the disk is writable again.
        db.execute("BEGIN")
        db.execute("UPDATE state SET format = format")
        db.execute("ROLLBACK")
    except BaseException:
        db.close()
        raise
    return db


def refuse_newer(path: Path) -> None:
    """Refuse a journal that a newer version wrote, without touching it; any other is not looked at.

    Args:
        path: of ``journal.db``; it need not exist.

    Raises:
        ConfigError: its format is newer than this version reads.
    """
    with contextlib.suppress(sqlite3.Error, OSError):
        if path.exists():
            with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
                _refuse_newer(path, db)


def _refuse_newer(path: Path, db: sqlite3.Connection) -> None:
    (found,) = db.execute("SELECT format FROM state").fetchone()
    if found > FORMAT:
        raise ConfigError(f"journal {path}: its format {found} is newer than this version reads ({FORMAT})")
