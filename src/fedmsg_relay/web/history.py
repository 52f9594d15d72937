"""The messages of a journal, for readers. No other module of the web process but :mod:`.extent` knows a journal's form.

There is no index by topic, as it would cost the relay's pipeline. A search looks at messages one by one, and is
bounded.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import block, publish_times, schema
from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import limits
from fedmsg_relay.web.extent import Extent
from fedmsg_relay.web.gate import Gate
from fedmsg_relay.web.large import Extract
from fedmsg_relay.web.rows import Listed, Row, names_of, sizes_of

_BLOCKS = 100
"""Blocks that one statement looks at: an open one would keep the relay's WAL growing."""

_AT_ONCE = 200
"""Messages that one portion has at most."""


_LISTED = ", ".join(Listed._fields)


class Dropped(NamedTuple):
    """A message of the quarantine, without its body.

    Attributes:
        topic: its beginning, of more than ``SHOWN_TOPIC_BYTES`` where it goes on.
    """

    time: int
    reason: str
    source: str
    topic: bytes
    size: int


class Portion(NamedTuple):
    """Messages that are read together.

    Attributes:
        numbers: the ``seq`` of each.
        size: bytes of all of them.
    """

    numbers: list[int]
    size: int


class Published(NamedTuple):
    """A message that was published.

    Attributes:
        by: the latest time that is possible, in Unix microseconds; None where nobody noted it.
    """

    by: int | None


class History(Extent):
    """A journal, open for reading. Used by one thread.

    Args:
        db: the journal.
        gate: that each statement goes through.
    """

    def __init__(self, db: sqlite3.Connection, gate: Gate) -> None:
        super().__init__(db, gate)
        self._recent: dict[int, Record] = {}
        """Messages of the block that was read last: a reader of one message often reads the next one."""

    def rows(self, first: int, last: int, descending: bool = False) -> Iterator[Row]:
        """Go through messages without their bodies.

        Args:
            first: the lowest ``seq``.
            last: the highest ``seq``.
            descending: the newest first.

        Yields:
            Each message.
        """
        low = self._first_of(first)
        order = "DESC" if descending else "ASC"
        query = f"SELECT {_LISTED} FROM block WHERE first BETWEEN ? AND ? ORDER BY first {order} LIMIT ?"  # noqa: S608
        high = last
        while page := self._listed(query, low, high, _BLOCKS):
            for found in page:
                rows = [row for row in found.rows() if first <= row.seq <= last]
                yield from reversed(rows) if descending else rows
            if descending:
                high = page[-1].first - 1
            else:
                low = page[-1].first + 1

    def names(self, after: int, count: int) -> list[tuple[int, str | None]]:
        """Get ``seq`` and ``msg_id`` of messages, in order.

        Args:
            after: the ``seq`` before the first one.
            count: maximum number.
        """
        names: list[tuple[int, str | None]] = []
        low = self._first_of(after + 1)
        query = "SELECT first, msg_ids FROM block WHERE first >= ? ORDER BY first LIMIT ?"
        while len(names) < count and (page := self._all(query, low, _BLOCKS)):
            names += [name for found in page for name in names_of(*found) if name[0] > after]
            low = page[-1][0] + 1
        return names[:count]

    def newest_named(self, msg_id: str, count: int) -> list[int]:
        """Get the ``seq`` of each message with a ``msg_id``, the newest first.

        Args:
            msg_id: the one to find.
            count: number of messages, the newest, that are looked at.
        """
        ends = self.ends()
        after = ends[1] - count if ends else 0
        query = "SELECT first, msg_ids FROM block WHERE first > ? AND instr(msg_ids, ?) ORDER BY first DESC LIMIT ?"
        page = self._all(query, after - block.MESSAGES, block.encode_msg_id(msg_id), limits.NAMESAKES)
        names = (name for found in page for name in reversed(names_of(*found)))
        return list(islice((seq for seq, each in names if each == msg_id and seq > after), limits.NAMESAKES))

    def read(self, numbers: Sequence[int]) -> list[Record]:
        """Read messages in full.

        Args:
            numbers: the ``seq`` of each.

        Returns:
            Those that are there and intact, in the order of the numbers.
        """
        found = {seq: self._recent[seq] for seq in numbers if seq in self._recent}
        for first in self._holding({seq for seq in numbers if seq not in found}):
            with self._gate.reading():
                blocks = [one for one in block.read(self._db, "WHERE first = ?", first) if one.intact]
            self._recent = {record.seq: record for one in blocks for record in one.records()}
            found |= {seq: self._recent[seq] for seq in numbers if seq in self._recent}
        return [found[seq] for seq in numbers if seq in found]

    def portions(self, numbers: Sequence[int], size: int) -> list[Portion]:
        """Divide messages into portions, none of which has more bytes than a limit, but for single messages.

        Args:
            numbers: the ``seq`` of each.
            size: the limit.

        Returns:
            The portions; without messages that are not there.
        """
        sizes: dict[int, int] = {}
        for first in self._holding(set(numbers)):
            for ends in self._all("SELECT topic_ends, body_ends FROM block WHERE first = ?", first):
                sizes |= enumerate(sizes_of(*ends), first)
        portions: list[list[int]] = []
        room = 0
        for seq in filter(sizes.__contains__, numbers):
            if not portions or sizes[seq] > room or len(portions[-1]) >= _AT_ONCE:
                portions.append([])
                room = size
            portions[-1].append(seq)
            room -= sizes[seq]
        return [Portion(portion, sum(sizes[seq] for seq in portion)) for portion in portions]

    def extract(self, wanted: Extract) -> bytes:
        """Read a part of a message that has a block to itself.

        Args:
            wanted: which part.

        Raises:
            JournalError: the message is not there any more.
        """
        query = "SELECT 1 FROM block WHERE first = ? AND time = ? AND length(topics) = ? AND length(bodies) = ?"
        if not self._all(query, wanted.seq, wanted.time, *wanted.sizes):
            raise JournalError(f"the journal does not have message {wanted.seq} any more")
        with self._gate.reading(), self._db.blobopen("block", wanted.column, wanted.seq, readonly=True) as frame:
            frame.seek(wanted.start)
            return frame.read(limits.CHUNK_BYTES)

    def published(self, seq: int) -> Published | None:
        """Tell whether a message was published, and by when; None while it waits.

        Args:
            seq: of the message.
        """
        with self._gate.reading():
            if seq > schema.find_position(self._db).published:
                return None
            return Published(publish_times.find(self._db, seq))

    def dropped(self, texts: Collection[bytes], count: int) -> list[Dropped]:
        """Find messages of the quarantine that have a text in their body, the newest first.

        Args:
            texts: one of them is enough.
            count: maximum number.
        """
        either = " OR ".join("instr(body, ?)" for _ in texts)
        columns = "time, reason, source, substr(topic, 1, ?), size"
        query = f"SELECT {columns} FROM quarantine WHERE {either} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return [Dropped(*found) for found in self._all(query, limits.SHOWN_TOPIC_BYTES + 1, *texts, count)]

    def _listed(self, query: str, *values: object) -> list[Listed]:
        """Read blocks without their bodies, within a bound: a topic may be as long as a message."""
        page: list[Listed] = []
        size = 0
        with self._gate.reading(), closing(self._db.execute(query, values)) as blocks:
            for found in map(Listed._make, blocks):
                page.append(found)
                size += sum(map(sys.getsizeof, found))
                if size >= limits.LISTED_BYTES:
                    break
        return page

    def _first_of(self, seq: int) -> int:
        """Find where the block begins that holds a message, or the number itself where there is none."""
        with self._gate.reading():
            return int(self._db.execute(f"SELECT {block.AT}", (seq, seq)).fetchone()[0])

    def _holding(self, numbers: set[int]) -> list[int]:
        """Find the first ``seq`` of each block that holds one of these messages."""
        firsts: list[int] = []
        end = 0
        for seq in sorted(numbers):
            if seq >= end:
                query = "SELECT first, first + messages FROM block WHERE first <= ? ORDER BY first DESC LIMIT 1"
                found = self._all(query, seq)
                if found and seq < found[0][1]:
                    first, end = found[0]
                    firsts.append(first)
        return firsts
