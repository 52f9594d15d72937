"""Journals of formats 1 and 2, which had a row for each message in a table ``message``. They are read and converted.

The messages of such a row had a checksum of their own. Format 1 had no ``batch`` (which is ``tail`` now) and no
``name``, and in ``state`` only ``format`` and ``published``, without a check.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fedmsg_relay.journal import block, numbers, position
from fedmsg_relay.journal.position import UntrustedError
from fedmsg_relay.journal.records import Record
from fedmsg_relay.journal.transaction import transaction
from fedmsg_relay.runtime.log import log

LEFT = "earlier"
"""Table of the messages that are not converted yet."""

STEP_MESSAGES, STEP_BYTES = 20_000, 16 * 1024 * 1024
"""Maximum number of messages, and bytes of them, in one transaction of a conversion."""

TELL_SECONDS = 5.0
"""Time between two lines of the log about a conversion."""

_COVERS_ALL = 1 << 32
"""Added to a checksum that covers the whole row. In format 1 a checksum covered topic and body alone."""

_PRIME = 2**32 - 5


class _Row(NamedTuple):
    """A row as it was found. (A flipped bit may even have made a number of a text.)"""

    seq: int
    time: int
    msg_id: object
    topic: object
    body: object
    crc: int

    @property
    def intact(self) -> bool:
        """Whether the row is as it was journaled."""
        if not isinstance(self.topic, bytes) or not isinstance(self.body, bytes):
            return False
        try:
            start = 0
            if self.crc >= _COVERS_ALL:
                start = (self.seq ^ self.time) % _PRIME
                if self.msg_id is not None:
                    start = zlib.crc32(str(self.msg_id).encode(), start)
            return self.crc % _COVERS_ALL == zlib.crc32(self.body, zlib.crc32(self.topic, start))
        except TypeError:
            return False


def form(db: sqlite3.Connection) -> int:
    """Tell the format of a journal by its tables: 1, 2, or 0 for any other file.

    Args:
        db: a journal.
    """
    tables = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "message" not in tables or "state" not in tables or "tail" in tables:
        return 0
    return 2 if "batch" in tables else 1


def is_half_converted(db: sqlite3.Connection) -> bool:
    """Tell whether a conversion was begun and has not ended.

    Args:
        db: a journal.
    """
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (LEFT,)).fetchone())


def find_position(db: sqlite3.Connection) -> position.Position:
    """Find the position of a journal of format 1 or 2.

    Args:
        db: the journal.

    Raises:
        UntrustedError: its notes are damaged.
    """
    if form(db) == 1:
        return _find_in_format_1(db)
    state = position.sealed(db, "SELECT format, published, listeners, crc FROM state")
    return position.weigh(state, position.sealed(db, "SELECT published, last, crc FROM batch"), 2, lambda: ends(db))


def read(db: sqlite3.Connection, table: str, where: str, *parameters: object) -> Iterator[Record]:
    """Read messages, damaged ones too.

    Args:
        db: a journal.
        table: that holds them.
        where: the end of the query; never any user's input.
        parameters: for its placeholders.
    """
    query = f"SELECT seq, time, msg_id, topic, body, crc FROM {table} {where}"  # noqa: S608 -- only our own text
    for row in map(_Row._make, db.execute(query, parameters)):
        name = None if row.msg_id is None else _text(row.msg_id)
        yield Record(row.seq, row.time, name, _bytes(row.topic), _bytes(row.body), row.intact)


def convert(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    """Make this format of an earlier one, or go on with that after a kill.

    Args:
        db: a journal, open for writing.
        statements: that make the tables of this format where they are not there.

    Raises:
        UntrustedError: it holds what was never written.
        sqlite3.Error: it cannot be read or written.
    """
    total = _count(db, LEFT if is_half_converted(db) else "message")
    log.info("journal: converting about %d messages to format %d", total, position.FORMAT)
    if not is_half_converted(db):
        _begin(db, statements)
    done, next_told = 0, time.monotonic() + TELL_SECONDS
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut takes back some steps, which are then taken again
    while converted := _step(db):
        done += converted
        if time.monotonic() >= next_told:
            next_told = time.monotonic() + TELL_SECONDS
            log.info("journal: converted %d of about %d messages", done, total)
    db.execute("PRAGMA synchronous = FULL")
    with transaction(db):
        db.execute(f"DROP TABLE {LEFT}")
    log.info("journal: converted %d messages to format %d", done, position.FORMAT)


def _begin(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    """Make the tables of this format, with the position, and put the messages aside."""
    published, last, listeners, _ = find_position(db)
    with transaction(db):
        db.execute(f"ALTER TABLE message RENAME TO {LEFT}")
        db.execute("DROP TABLE state")
        db.execute("DROP TABLE IF EXISTS batch")
        for statement in statements:
            db.execute(statement)
        # Where the note of the listeners is damaged, this keeps it so.
        position.begin(db, published, last, -1 if listeners is None else listeners)


def _step(db: sqlite3.Connection) -> int:
    """Convert the oldest messages that are left; return their number."""
    records: list[Record] = []
    size = 0
    for record in read(db, LEFT, "ORDER BY seq LIMIT ?", STEP_MESSAGES):
        records.append(record)
        size += record.size
        if size >= STEP_BYTES:
            break
    if records:
        with transaction(db):
            block.insert(db, block.repack(records))
            numbers.add(db, records[0].seq, records[-1].seq)
            db.execute(f"DELETE FROM {LEFT} WHERE seq <= ?", (records[-1].seq,))  # noqa: S608
    return len(records)


def _count(db: sqlite3.Connection, table: str) -> int:
    oldest, newest = ends(db, table)
    return 0 if oldest is None or newest is None else newest - oldest + 1


def ends(db: sqlite3.Connection, table: str = "message") -> tuple[int | None, int | None]:
    """Get the ``seq`` of the first and of the last message; None where there are no messages.

    Args:
        db: a journal.
        table: that holds the messages.
    """
    # Without the subqueries SQLite would read all messages in between.
    query = f"SELECT (SELECT min(seq) FROM {table}), (SELECT max(seq) FROM {table})"  # noqa: S608
    oldest, newest = db.execute(query).fetchone()
    return oldest, newest


def _find_in_format_1(db: sqlite3.Connection) -> position.Position:
    """Find the position in its only note, which has no check: a value that is impossible is not trusted."""
    rows = db.execute("SELECT format, published FROM state").fetchall()
    oldest, newest = ends(db)
    if not rows and newest is None:
        rows = [(1, 0)]  # a start was killed when it had just made the tables
    for found, published in rows:
        if found == 1 and isinstance(published, int) and (oldest or 1) - 1 <= published <= (newest or published):
            listeners = [str(address) for (address,) in db.execute("SELECT address FROM listener")]
            return position.Position(published, newest or published, position.seal_listeners(listeners), ())
    raise UntrustedError("its note of what is published is damaged")


def _bytes(found: object) -> bytes:
    return found if isinstance(found, bytes) else _text(found).encode()


def _text(found: object) -> str:
    return found if isinstance(found, str) else str(found)
