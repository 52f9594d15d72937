"""Salvage: a journal that cannot be read any more is set aside, and a new one takes over what can still be read."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fedmsg_relay.journal import block, earlier, numbers, position, schema
from fedmsg_relay.journal.position import Position, seal_listeners
from fedmsg_relay.journal.records import Record, lenient_text

UNREADABLE = (sqlite3.Error, ValueError, TypeError, OverflowError)
"""Errors that reading raises where the file does not hold what was written."""


def set_aside(path: Path) -> Path:
    """Rename a journal, with all its files, out of the way of a new one.

    Args:
        path: of ``journal.db``.

    Returns:
        Its new path, ``journal.db.corrupt-TIME`` in the same directory.

    Raises:
        OSError: it cannot be renamed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside


class Remains:
    """A journal that was set aside. It is only read.

    Args:
        path: where it is now; it may have been removed.
    """

    def __init__(self, path: Path) -> None:
        self._db = schema.open_for_reading(path) if path.exists() else sqlite3.connect(":memory:")
        self._db.text_factory = lenient_text
        # Then SQLite passes over what it does not understand of the schema, such as a view with a flipped bit.
        self._db.execute("PRAGMA writable_schema = ON")
        self._position: Position | None = None
        with contextlib.suppress(*UNREADABLE):
            self._position = schema.find_position(self._db)

    def published(self) -> int | None:
        """``seq`` of the last message that was noted as published; None where that cannot be read."""
        return self._position.published if self._position else None

    def last(self) -> int | None:
        """``seq`` of the last message, 0 where there is none; None where that cannot be read."""
        if self._position:
            return self._position.last
        with contextlib.suppress(*UNREADABLE):
            table = self._earlier()
            newest = (earlier.ends(self._db, table) if table else position.ends(self._db))[1] or 0
            return newest if isinstance(newest, int) else None
        return None

    def listeners(self) -> list[str] | None:
        """IP addresses of the listeners that were connected last; None where they cannot be read."""
        with contextlib.suppress(*UNREADABLE):
            found = [str(address) for (address,) in self._db.execute("SELECT address FROM listener")]
            if self._position and self._position.listeners == seal_listeners(found):
                return found
        return None

    def messages(self, after: int, last: int | None) -> Iterator[Record]:
        """Read all messages that can be read, from both ends: mostly a page or two in between cannot.

        Args:
            after: ``seq`` after which to begin.
            last: ``seq`` of the last message; None where that is not known.

        Yields:
            Each message once, in no order.
        """
        last = sys.maxsize if last is None else last
        for found in self._tables():
            low = after
            for direction in ("ASC", "DESC"):
                with contextlib.suppress(*UNREADABLE):
                    for record in found(low, last, direction):
                        if record.intact and low < record.seq <= last:
                            if direction == "ASC":
                                low = record.seq
                            yield record

    def _tables(self) -> list[Callable[[int, int, str], Iterator[Record]]]:
        """List what reads the messages of each table that holds some, in the order of their ``seq``."""
        table = self._earlier()
        return [*([] if table == "message" else [self._blocks]), *([self._rows] if table else [])]

    def _blocks(self, after: int, last: int, direction: str) -> Iterator[Record]:
        where = f"WHERE first >= {block.AT} AND first <= ? ORDER BY first {direction}"
        for found in block.read(self._db, where, after + 1, after + 1, last):
            if found.intact:
                yield from found.records()

    def _rows(self, after: int, last: int, direction: str) -> Iterator[Record]:
        where = f"WHERE seq > ? AND seq <= ? ORDER BY seq {direction}"
        return earlier.read(self._db, self._earlier(), where, after, last)

    def _earlier(self) -> str:
        """Name the table that holds messages of an earlier format; empty where there is none."""
        with contextlib.suppress(*UNREADABLE):
            if earlier.form(self._db):
                return "message"
            if earlier.is_half_converted(self._db):
                return earlier.LEFT
        return ""

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Carried(NamedTuple):
    """Messages and notes that a new journal has taken over.

    Attributes:
        published: ``seq`` of the last message that was published.
        last: ``seq`` of the last message.
        listeners: checksum of the listeners' addresses.
        all_listeners: whether the addresses of all listeners could be read.
        messages: number of messages; None where it is not known how many waited.
    """

    published: int
    last: int
    listeners: int
    all_listeners: bool
    messages: int | None


def carry_over(db: sqlite3.Connection, remains: Remains, published: int | None, last: int) -> Carried:
    """Take over messages that wait in a journal that was set aside. Within a transaction.

    Messages that cannot be read are missing before the last one. Where it is not known how many waited, those that can
    be read get a new ``seq``, above any that was used.

    Args:
        db: the new journal.
        remains: the old one.
        published: ``seq`` of its last message that was sent; None to read that from it.
        last: ``seq`` of its last message; 0 to read that from it.
    """
    after = remains.published() if published is None else published
    end = last or remains.last()
    found: Iterable[Record] = () if after is None else remains.messages(after, end)
    known = after is not None and end is not None
    if after is None or end is None:
        after = end = time.time_ns() // 1000  # no relay has had a message for each microsecond
        found = (record._replace(seq=seq) for seq, record in enumerate(found, after + 1))
    addresses = remains.listeners()
    listeners = seal_listeners(addresses or [])
    carried = 0
    for each in block.repack(found):
        block.insert(db, [each])
        numbers.add(db, each.first, each.last)
        carried += each.messages
    end = max(after, end) if known else after + carried
    position.begin(db, after, end, listeners)
    db.executemany("INSERT INTO listener VALUES (?)", [(host,) for host in addresses or []])
    return Carried(after, end, listeners, addresses is not None, carried if known else None)
