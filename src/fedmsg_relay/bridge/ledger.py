"""The memory of the bridge: ``bridge.db`` beside the journal.

It is a file of its own, as a second writer in the journal would hold up the relay. Its tables:

- ``counter``: numbers by name, among them the cursor of each direction.
- ``aside``: messages that were set aside: ``seq``, ``time``, ``reason``, ``detail``, ``topic``.
- ``retry``: those of them that are to be sent again.
- ``unsent``: ranges of numbers that were not sent, for the comparator.
- ``noted``: digests of messages that came from AMQP, and the number after which each is in the journal (NULL before).
- ``told``: what the running bridge says of itself.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fedmsg_relay.errors import RelayError
from fedmsg_relay.journal.records import Record, digest
from fedmsg_relay.runtime.log import log

NAME = "bridge.db"

ASIDE_ROWS = 10_000
"""Messages that were set aside and are remembered one by one: the newest. All are counted."""

_LOCK_SECONDS = 5.0
_FORMAT = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aside (
    seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, topic TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS retry (seq INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS unsent (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS noted (digest BLOB PRIMARY KEY, upto INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arrived (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS missing (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, time INTEGER NOT NULL, topic TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS told (id INTEGER PRIMARY KEY, time REAL NOT NULL, text TEXT NOT NULL);
"""


class LedgerError(RelayError):
    """``bridge.db`` cannot be read or written now."""


class Aside(NamedTuple):
    """A message that was set aside."""

    seq: int
    time: int
    reason: str
    detail: str
    topic: str


class Ledger:
    """``bridge.db``, open. Used by one thread at a time.

    Args:
        directory: of the journal.
        durable: whether each commit is on disk when it returns. Otherwise a power cut may undo the last ones: messages
            are then sent twice.

    Raises:
        LedgerError: it cannot be opened.
    """

    def __init__(self, directory: Path, durable: bool = False) -> None:
        self.path = directory / NAME
        with self._errors():
            try:
                self._db = self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._set_aside(error)
                self._db = self._open()
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=_LOCK_SECONDS, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
            db.execute("INSERT OR IGNORE INTO counter VALUES ('format', ?)", (_FORMAT,))
            self.path.chmod(0o640)
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = self.path.with_name(f"{NAME}.corrupt-{int(time.time())}")
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        log.error(
            "%s cannot be read (%s) and was set aside as %s: the bridge begins at the oldest message of the journal, "
            "so messages go out again, with the same ids",
            self.path,
            error,
            aside,
        )

    def counters(self, prefix: str) -> dict[str, int]:
        """Read numbers.

        Args:
            prefix: the beginning of their names, which is left out in the answer.

        Raises:
            LedgerError: they cannot be read.
        """
        with self._errors():
            return counters(self._db, prefix)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all that is done within, or nothing of it.

        Raises:
            LedgerError: it cannot be written.
        """
        with self._errors():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def write_counters(self, db: sqlite3.Connection, prefix: str, values: Mapping[str, int]) -> None:
        """Write numbers, within a transaction.

        Args:
            db: from :meth:`transaction`.
            prefix: the beginning of their names.
            values: by the rest of their names.
        """
        rows = [(prefix + name, value) for name, value in values.items()]
        db.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", rows)

    def begin_anew(self, values: Mapping[str, int]) -> None:
        """Write the numbers of the way forward with a journal that begins, and forget all that has numbers of another.

        Notes of messages from AMQP are kept: they go by the bytes, and the journal that begins may have these messages.

        Args:
            values: as in :meth:`write_counters`.

        Raises:
            LedgerError: it cannot be written.
        """
        with self.transaction() as db:
            for table in ("aside", "retry", "unsent", "arrived", "missing"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608
            db.execute("DELETE FROM counter WHERE name LIKE 'seen.%' OR name LIKE 'cursor.%'")
            self.write_counters(db, "forward.", values)

    def write_aside(self, db: sqlite3.Connection, messages: Sequence[Aside]) -> None:
        """Remember messages that were set aside, within a transaction."""
        db.executemany("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?, ?)", messages)
        oldest = "SELECT seq FROM aside ORDER BY seq DESC LIMIT 1 OFFSET ?"
        db.execute(f"DELETE FROM aside WHERE seq <= ({oldest})", (ASIDE_ROWS,))  # noqa: S608

    def next_retry(self) -> tuple[int, int | None] | None:
        """Get the oldest message that is to be sent again.

        Returns:
            Its number, and when it was journaled, if that is known; None if there is none.

        Raises:
            LedgerError: it cannot be read.
        """
        query = "SELECT retry.seq, aside.time FROM retry LEFT JOIN aside USING (seq) ORDER BY retry.seq LIMIT 1"
        with self._errors():
            found: tuple[int, int | None] | None = self._db.execute(query).fetchone()
        return found

    def note(self, digests: Iterable[bytes]) -> None:
        """Note messages that come from AMQP, before they are submitted.

        Args:
            digests: of each.

        Raises:
            LedgerError: it cannot be written.
        """
        with self.transaction() as db:
            db.executemany("INSERT INTO noted VALUES (?, NULL) ON CONFLICT DO UPDATE SET upto = NULL", _rows(digests))

    def noted_among(self, records: Sequence[Record]) -> set[int]:
        """Find which messages came from AMQP. It is noted before they are in the journal.

        Args:
            records: from the journal.

        Returns:
            Their numbers.

        Raises:
            LedgerError: it cannot be read.
        """
        with self._errors():
            if self._db.execute("SELECT 1 FROM noted LIMIT 1").fetchone() is None:
                return set()
            query = "SELECT 1 FROM noted WHERE digest = ?"
            return {
                record.seq
                for record in records
                if self._db.execute(query, (digest(record.topic, record.body),)).fetchone()
            }

    def unsent_after(self, seq: int) -> list[tuple[int, int]]:
        """Get ranges of numbers that were not sent, in order: the next ones.

        Args:
            seq: the number before them.

        Raises:
            LedgerError: they cannot be read.
        """
        query = "SELECT first, last FROM unsent WHERE last > ? ORDER BY first LIMIT 10000"
        with self._errors():
            return self._db.execute(query, (seq,)).fetchall()

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Write what the running bridge says of itself.

        Raises:
            LedgerError: it cannot be written.
        """
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO told VALUES (1, ?, ?)", (time.time(), json.dumps(facts)))

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{self.path}: {error}") from error


def counters(db: sqlite3.Connection, prefix: str) -> dict[str, int]:
    """Read numbers by the rest of their names; see :meth:`Ledger.counters`."""
    rows = db.execute("SELECT name, value FROM counter").fetchall()
    return {name.removeprefix(prefix): value for name, value in rows if name.startswith(prefix)}


def _rows(digests: Iterable[bytes]) -> list[tuple[bytes]]:
    return [(digest,) for digest in digests]
