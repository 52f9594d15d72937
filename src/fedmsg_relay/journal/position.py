"""The position of a journal: its last message, and its last published one. It is noted in two tables, with checks.

``state`` is written when messages were published, ``batch`` when messages are added. If one bit or one page is lost,
messages that were published since others were last added may go out again. The log then says so.
"""

from __future__ import annotations

import itertools
import sqlite3
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from fedmsg_relay.journal.broken import is_broken

FORMAT = 2
"""Format of a journal. Format 1 had no tables ``batch`` and ``name``, and checks only of topic and body."""

TABLES = """
CREATE TABLE state (
    format INTEGER NOT NULL, published INTEGER NOT NULL, listeners INTEGER NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE batch (published INTEGER NOT NULL, last INTEGER NOT NULL, crc INTEGER NOT NULL);
"""


class UntrustedError(ValueError):
    """The journal holds what was never written."""


class Position(NamedTuple):
    """The position of a journal.

    Attributes:
        published: ``seq`` of the last message that was sent to outbound.
        last: ``seq`` of the last message.
        listeners: checksum of the listeners' addresses; None where its note is damaged.
        faults: notes that could not be trusted, and what follows from that.
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
    """Find the position of a journal, from those of its notes that can be trusted.

    Args:
        db: a journal of this format.

    Raises:
        UntrustedError: both notes are damaged.
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
        faults.append("the note of the last messages is damaged: nothing follows from that")
    return Position(published, last, state[2] if state else None, tuple(faults))


def refuse_beyond(db: sqlite3.Connection, last: int) -> None:
    """Refuse a journal with a message beyond its end: such a message was never written with that number.

    Args:
        db: a journal.
        last: ``seq`` of its last message.

    Raises:
        UntrustedError: there is such a message.
    """
    for seq in ends(db):
        if seq is not None and seq > last:
            raise UntrustedError(f"message seq {seq} is beyond its end, {last}")


def refuse_disorder(after: int, seqs: Sequence[int], last: int) -> None:
    """Refuse messages that are not in the order of their ``seq``: they were never written like that.

    Args:
        after: ``seq`` after which these messages were looked for.
        seqs: ``seq`` of each message, as it was found.
        last: ``seq`` of the last message of the journal.

    Raises:
        UntrustedError: they are not.
    """
    if any(seq >= following for seq, following in itertools.pairwise([after, *seqs, last + 1])):
        raise UntrustedError(f"messages after seq {after} are not in their order")


def ends(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Get the ``seq`` of the first and of the last message; None where there are no messages.

    Args:
        db: a journal.
    """
    # Without the subqueries SQLite would read all messages in between.
    found = db.execute("SELECT (SELECT min(seq) FROM message), (SELECT max(seq) FROM message)")
    oldest, newest = found.fetchone()
    return oldest, newest


def begin(db: sqlite3.Connection, published: int, last: int, listeners: int) -> None:
    """Write both notes anew. Within a transaction.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was sent to outbound.
        last: ``seq`` of the last message.
        listeners: checksum of the listeners' addresses.
    """
    db.execute("DELETE FROM state")
    db.execute("DELETE FROM batch")
    state, batch = (FORMAT, published, listeners), (published, last)
    db.execute("INSERT INTO state VALUES (?, ?, ?, ?)", (*state, seal(*state)))
    db.execute("INSERT INTO batch VALUES (?, ?, ?)", (*batch, seal(*batch)))


def note_published(db: sqlite3.Connection, published: int, listeners: int) -> None:
    """Note which messages were published, or which listeners are connected.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was sent to outbound.
        listeners: checksum of the listeners' addresses.

    Raises:
        UntrustedError: the row is gone.
    """
    row = (FORMAT, published, listeners)
    _update(db, "UPDATE state SET format = ?, published = ?, listeners = ?, crc = ?", (*row, seal(*row)))


def note_batch(db: sqlite3.Connection, published: int, last: int) -> None:
    """Note that messages are added. Within the transaction that adds them.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was sent to outbound.
        last: ``seq`` of the last of these messages.

    Raises:
        UntrustedError: the row is gone.
    """
    row = (published, last)
    _update(db, "UPDATE batch SET published = ?, last = ?, crc = ?", (*row, seal(*row)))


def _update(db: sqlite3.Connection, statement: str, row: tuple[int, ...]) -> None:
    if db.execute(statement, row).rowcount != 1:
        raise UntrustedError("the note of what is published is gone")


def _sealed(db: sqlite3.Connection, query: str) -> tuple[int, ...] | None:
    """Get the row whose check is right; None where there is no such row, or it cannot be read."""
    try:
        rows: list[tuple[int, ...]] = db.execute(query).fetchall()
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, sqlite3.Error) and not is_broken(error):
            raise
        return None
    return next((row for row in rows if row[-1] == seal(*row[:-1])), None)
