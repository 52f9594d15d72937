"""The position of a journal: its last message, and its last published one. It is noted in two tables, with checks.

``state`` is written when messages were published, ``tail`` when messages are added. If one bit or one page is lost,
messages that were published since others were last added may go out again. The log then says so.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fedmsg_relay.journal.broken import is_broken

FORMAT = 3
"""Format of a journal (:mod:`.schema`)."""

TABLES = (
    """CREATE TABLE state (
    format INTEGER NOT NULL, published INTEGER NOT NULL, listeners INTEGER NOT NULL, crc INTEGER NOT NULL
)""",
    "CREATE TABLE tail (published INTEGER NOT NULL, last INTEGER NOT NULL, crc INTEGER NOT NULL)",
)


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
    return weigh(
        sealed(db, "SELECT format, published, listeners, crc FROM state"),
        sealed(db, "SELECT published, last, crc FROM tail"),
        FORMAT,
        lambda: ends(db),
    )


def weigh(
    state: tuple[int, ...] | None,
    tail: tuple[int, ...] | None,
    form: int,
    ends: Callable[[], tuple[int | None, int | None]],
) -> Position:
    """Make one position of two notes.

    Args:
        state: the row of ``state``; None where it is damaged.
        tail: the row of ``tail``; None where it is damaged.
        form: format that the journal must have.
        ends: tells the ``seq`` of the first and of the last message.

    Raises:
        UntrustedError: both are damaged.
    """
    if state and state[0] != form:
        state = None
    if tail and state:
        published, last = max(tail[0], state[1]), tail[1]
    elif tail:
        # Retention removes only what is published.
        published, last = max(tail[0], (ends()[0] or 1) - 1), tail[1]
    elif state:
        published, last = state[1], max(state[1], ends()[1] or 0)
    else:
        raise UntrustedError("both notes of what is published are damaged")
    faults = []
    if not state:
        faults.append(
            f"the note of what is published is damaged: up to {last - published} messages may go out again, from seq "
            f"{published + 1} on"
        )
    if not tail:
        faults.append("the note of the last messages is damaged: nothing follows from that")
    return Position(published, last, state[2] if state else None, tuple(faults))


def refuse_beyond(db: sqlite3.Connection, last: int) -> None:
    """Refuse a journal with a block beyond its end: such a block was never written with that number.

    Args:
        db: a journal.
        last: ``seq`` of its last message.

    Raises:
        UntrustedError: there is such a block.
    """
    for order in ("ASC", "DESC"):
        found = db.execute(f"SELECT first FROM block ORDER BY first {order} LIMIT 1").fetchone()  # noqa: S608
        if found and found[0] > last:
            raise UntrustedError(f"message seq {found[0]} is beyond its end, {last}")


def ends(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Get the ``seq`` of the first and of the last message; None where there are no messages.

    Args:
        db: a journal.
    """
    # Two queries: SQLite would read all blocks in between.
    oldest = db.execute("SELECT first FROM block ORDER BY first LIMIT 1").fetchone()
    newest = db.execute("SELECT first + messages - 1 FROM block ORDER BY first DESC LIMIT 1").fetchone()
    return (oldest[0], newest[0]) if oldest and newest else (None, None)


def begin(db: sqlite3.Connection, published: int, last: int, listeners: int) -> None:
    """Write both notes anew. Within a transaction.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was sent to outbound.
        last: ``seq`` of the last message.
        listeners: checksum of the listeners' addresses.
    """
    db.execute("DELETE FROM state")
    db.execute("DELETE FROM tail")
    state, tail = (FORMAT, published, listeners), (published, last)
    db.execute("INSERT INTO state VALUES (?, ?, ?, ?)", (*state, seal(*state)))
    db.execute("INSERT INTO tail VALUES (?, ?, ?)", (*tail, seal(*tail)))


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


def note_tail(db: sqlite3.Connection, published: int, previous: int, last: int) -> None:
    """Note that messages are added. Within the transaction that adds them.

    Args:
        db: a journal.
        published: ``seq`` of the last message that was sent to outbound.
        previous: ``seq`` of the last message before these.
        last: ``seq`` of the last of these messages.

    Raises:
        UntrustedError: the journal does not end there, or the row is gone.
    """
    row = (published, last)
    update = "UPDATE tail SET published = ?, last = ?, crc = ? WHERE last = ?"
    _update(db, update, (*row, seal(*row), previous))


def _update(db: sqlite3.Connection, statement: str, row: tuple[int, ...]) -> None:
    if db.execute(statement, row).rowcount != 1:
        raise UntrustedError("a note of what is published is gone, or is not what was written")


def sealed(db: sqlite3.Connection, query: str, *parameters: int) -> tuple[int, ...] | None:
    """Get the row whose check is right.

    Args:
        db: a journal.
        query: for rows whose last column is their check.
        parameters: for its placeholders.

    Returns:
        The row; None where there is no such row, or it cannot be read.
    """
    try:
        rows: list[tuple[int, ...]] = db.execute(query, parameters).fetchall()
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, sqlite3.Error) and not is_broken(error):
            raise
        return None
    return next((row for row in rows if row[-1] == seal(*row[:-1])), None)
