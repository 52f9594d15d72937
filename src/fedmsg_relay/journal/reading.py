"""Reads messages of a journal by their ``seq``, for the relay and for the commands. Never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from fedmsg_relay.journal import block
from fedmsg_relay.journal.position import UntrustedError
from fedmsg_relay.journal.records import Record

PAGE_BLOCKS = 20
PAGE_BYTES = 2 * 1024 * 1024
"""Number of blocks that are read at once, and bytes of their messages; a larger message comes alone."""


class Portion(NamedTuple):
    """Messages that follow each other.

    Attributes:
        records: the intact ones.
        upto: ``seq`` of the last message that was looked at; the others up to there are damaged or missing.
    """

    records: list[Record]
    upto: int


def read_next(db: sqlite3.Connection, after: int, last: int, limit: int, max_bytes: int) -> Portion:
    """Read the next intact messages, oldest first.

    Args:
        db: a journal.
        after: ``seq`` after which to begin.
        last: ``seq`` of the last message of the journal.
        limit: maximum number of messages.
        max_bytes: maximum bytes of them; a larger message comes alone.

    Raises:
        UntrustedError: they are not in their order, or beyond the last one.
    """
    records: list[Record] = []
    size = looked = previous = 0
    upto = after
    for found in block.read_from(db, after + 1):
        if not previous < found.first <= last:
            raise UntrustedError(f"messages after seq {after} are not in their order")
        upto = max(upto, found.first - 1)
        if looked >= max_bytes or len(records) >= limit:
            return Portion(records, upto)
        previous = found.first
        looked += found.size
        if not found.intact:
            continue
        if found.last > last:
            raise UntrustedError(f"message seq {found.last} is beyond its end, {last}")
        for record in found.records()[max(0, after + 1 - found.first) :]:
            size += record.size
            if records and (len(records) >= limit or size > max_bytes):
                return Portion(records, records[-1].seq)
            records.append(record)
        previous = found.last
        upto = max(upto, found.last)
    return Portion(records, last)


def read_message(db: sqlite3.Connection, seq: int) -> Record | None:
    """Read one message, damaged or not.

    Args:
        db: a journal.
        seq: of the message.

    Returns:
        The message; None where it is not there.

    Raises:
        ValueError: its block is damaged, so that its messages cannot be told apart.
    """
    for found in block.read(db, f"WHERE first = {block.AT}", seq, seq):
        for record in found.records():
            if record.seq == seq:
                return record
    return None


def pages(db: sqlite3.Connection, after: int, since: int = 0) -> Iterator[list[Record]]:
    """Read messages, damaged ones too, oldest first. Of a block that cannot be taken apart there are none.

    Args:
        db: a journal.
        after: ``seq`` after which to begin.
        since: earliest time, in Unix microseconds.

    Yields:
        Some of them; no query is open meanwhile.
    """
    first = db.execute(f"SELECT {block.AT}", (after + 1, after + 1)).fetchone()[0]
    query = "WHERE first >= ? AND time >= ? ORDER BY first LIMIT ?"
    while found := _page(block.read(db, query, first, since, PAGE_BLOCKS)):
        page = [record for one in found for record in _told_apart(one) if record.seq > after]
        first = found[-1].first + 1
        after = max(after, found[-1].first, *(record.seq for record in page[-1:]))
        del found  # large messages would be in memory twice
        if page:
            yield page


def _page(blocks: Iterator[block.Block]) -> list[block.Block]:
    """Take blocks up to the limit of bytes."""
    page: list[block.Block] = []
    size = 0
    for one in blocks:
        page.append(one)
        size += one.size
        if size >= PAGE_BYTES:
            break
    return page


def read_newest(db: sqlite3.Connection, count: int) -> list[Record]:
    """Read the newest messages, oldest first.

    Args:
        db: a journal.
        count: number of messages.
    """
    newest: list[Record] = []
    for found in block.read(db, "ORDER BY first DESC"):
        if len(newest) >= count:
            break
        newest = _told_apart(found) + newest
    return newest[max(0, len(newest) - count) :]


def find_named(db: sqlite3.Connection, msg_id: str) -> Record | None:
    """Find the first message with a ``msg_id``. SQLite looks through that column only, so bodies are not read.

    Args:
        db: a journal.
        msg_id: of the message.
    """
    named = block.encode_msg_id(msg_id)
    for found in block.read(db, "WHERE instr(msg_ids, ?) ORDER BY first", named):
        for record in found.records():
            if record.msg_id == msg_id:
                return record
    return None


def _told_apart(found: block.Block) -> list[Record]:
    try:
        return found.records()
    except ValueError:
        return []
