"""How far the journal is: where it ends, and up to where it is published. Noted twice, in two tables, with checks.

``state`` is written when something was published, ``batch`` with each batch. So one bit, or one page, that is lost
costs at most that what was published since the last batch goes out again, and that is said.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from fedmsg_relay.journal.broken import is_broken

FORMAT = 2
"""Of a journal. Format 1 had neither table ``batch`` nor ``name``, and no checks but those of topic and body."""

TABLES = """
CREATE TABLE state (
    format INTEGER NOT NULL, published INTEGER NOT NULL, listeners INTEGER NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE batch (published INTEGER NOT NULL, last INTEGER NOT NULL, crc INTEGER NOT NULL);
"""


class UntrustedError(ValueError):
    """What the journal holds was never written so."""


class Position(NamedTuple):
    """Where a journal is.

    Attributes:
        published: ``seq`` of the last message that was handed to outbound.
        last: ``seq`` of the last message.
        listeners: checksum of the listeners' addresses; None where it can not be told.
        faults: what could not be trusted, and what follows from that.
    """

    published: int
    last: int
    listeners: int | None
    faults: tuple[str, ...]


def seal(*values: int) -> int:
    """Make the check of a row.

    Args:
        values: all its other columns, in their order.
    """
    return zlib.crc32(repr(values).encode())


def seal_listeners(addresses: Sequence[str]) -> int:
    """Make the checksum of the listeners' addresses, in any order.

    Args:
        addresses: one for each connection.
    """
    return zlib.crc32(repr(sorted(addresses)).encode())


def find(db: sqlite3.Connection) -> Position:
    """Find out where a journal is, from what of its notes can be trusted.

    Args:
        db: a journal of this format.

    Returns:
        Its position.

    Raises:
        UntrustedError: it can not be told.
    """
    state = _sealed(db, "SELECT format, published, listeners, crc FROM state")
    batch = _sealed(db, "SELECT published, last, crc FROM batch")
    if state and state[0] != FORMAT:
        state = None
    if batch and state:
        published, last = max(batch[0], state[1]), batch[1]
    elif batch:
        # Retention removes only what is published.
        published, last = max(batch[0], (ends(db)[0] or 1) - 1), batch[1]
    elif state:
        published, last = state[1], max(state[1], ends(db)[1] or 0)
    else:
        raise UntrustedError("both notes of what is published are damaged")
    faults = []
    if not state:
        faults.append(
            f"the note of what is published is damaged: up to {last - published} messages may go out again, from seq "
            f"{published + 1} on"
        )
    if not batch:
        faults.append("the note of the last batch is damaged: nothing follows from that")
    return Position(published, last, state[2] if state else None, tuple(faults))


def refuse_beyond(db: sqlite3.Connection, last: int) -> None:
    """Refuse a journal with a message beyond its end, which was never written with that number.

    Args:
        db: a journal.
        last: ``seq`` of its last message.

    Raises:
        UntrustedError: there is one.
    """
    for seq in ends(db):
        if seq is not None and seq > last:
            raise UntrustedError(f"message seq {seq} is beyond its end, {last}")


def ends(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Get the ``seq`` of the first and the last message that is there; None where there is none.

    Args:
        db: a journal.
    """
    # Asked for both in one query SQLite reads all that is in between.
    found = db.execute("SELECT (SELECT min(seq) FROM message), (SELECT max(seq) FROM message)")
    oldest, newest = found.fetchone()
    return oldest, newest


def begin(db: sqlite3.Connection, published: int, last: int, listeners: int) -> None:
    """Write both notes anew. Within a transaction.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was handed to outbound.
        last: ``seq`` of the last message.
        listeners: checksum of their addresses.
    """
    db.execute("DELETE FROM state")
    db.execute("DELETE FROM batch")
    state, batch = (FORMAT, published, listeners), (published, last)
    db.execute("INSERT INTO state VALUES (?, ?, ?, ?)", (*state, seal(*state)))
    db.execute("INSERT INTO batch VALUES (?, ?, ?)", (*batch, seal(*batch)))


def note_published(db: sqlite3.Connection, published: int, listeners: int) -> None:
    """Note what was published, or who listens.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was handed to outbound.
        listeners: checksum of their addresses.

    Raises:
        UntrustedError: the row is gone.
    """
    row = (FORMAT, published, listeners)
    _update(db, "UPDATE state SET format = ?, published = ?, listeners = ?, crc = ?", (*row, seal(*row)))


def note_batch(db: sqlite3.Connection, published: int, last: int) -> None:
    """Note a batch, in its transaction.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was handed to outbound.
        last: ``seq`` of the last message of the batch.

    Raises:
        UntrustedError: the row is gone.
    """
    row = (published, last)
    _update(db, "UPDATE batch SET published = ?, last = ?, crc = ?", (*row, seal(*row)))


def _update(db: sqlite3.Connection, statement: str, row: tuple[int, ...]) -> None:
    if db.execute(statement, row).rowcount != 1:
        raise UntrustedError("the note of what is published is gone")


def _sealed(db: sqlite3.Connection, query: str) -> tuple[int, ...] | None:
    """The row whose check is right, if there is one and it can be read."""
    try:
        rows: list[tuple[int, ...]] = db.execute(query).fetchall()
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, sqlite3.Error) and not is_broken(error):
            raise
        return None
    return next((row for row in rows if row[-1] == seal(*row[:-1])), None)
