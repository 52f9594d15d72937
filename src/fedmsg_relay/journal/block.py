"""Blocks: the rows of the journal that hold messages. A block is up to 50 messages that were journaled together.

The columns of a block stand in :mod:`.schema`. One checksum covers a whole block, so a flipped bit costs at most
:data:`MESSAGES` messages. A page that cannot be read costs those of up to 8 blocks, as SQLite keeps the beginnings of
long rows together. Blocks of more than 50 messages save no time that could be measured. Shorter ones cost some: with
blocks that fit into a page, a message of 1.8 kB takes 1 microsecond more.
"""

from __future__ import annotations

import sqlite3
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from operator import add
from typing import NamedTuple

import msgspec

from fedmsg_relay.journal.records import Entry, Record

MESSAGES = 50
"""Maximum number of messages in a block."""

BYTES = 64 * 1024
"""Maximum bytes of the topics and bodies in a block; a larger message has a block to itself."""

_COLUMNS = "first, messages, time, crc, topic_ends, body_ends, msg_ids, topics, bodies"

_encode = msgspec.json.Encoder().encode
_decode_ends = msgspec.json.Decoder(list[int]).decode
_decode_msg_ids = msgspec.json.Decoder(list[str | None]).decode


class Block(NamedTuple):
    """A block as it stands in the journal."""

    first: int
    messages: int
    time: int
    crc: int
    topic_ends: str
    body_ends: str
    msg_ids: str
    topics: bytes
    bodies: bytes

    @property
    def last(self) -> int:
        """``seq`` of the last message."""
        return self.first + self.messages - 1

    @property
    def size(self) -> int:
        """Bytes of all topics and bodies."""
        return len(self.topics) + len(self.bodies)

    @property
    def intact(self) -> bool:
        """Whether the block is as it was journaled. (A flipped bit may even have made a number of a text.)"""
        try:
            return self.crc == self.checksum()
        except (TypeError, UnicodeError):
            return False

    def checksum(self) -> int:
        """Make the checksum of all columns but ``crc``."""
        head = f"{self.first} {self.messages} {self.time} {self.topic_ends} {self.body_ends} {self.msg_ids}"
        return zlib.crc32(self.bodies, zlib.crc32(self.topics, zlib.crc32(head.encode())))

    def records(self) -> list[Record]:
        """Get the messages of the block, also of a damaged one, as far as they can be told apart.

        Raises:
            ValueError: they cannot.
        """
        intact = self.intact
        try:
            topics = _cut(self.topics, _decode_ends(self.topic_ends))
            bodies = _cut(self.bodies, _decode_ends(self.body_ends))
            found = zip(decode_msg_ids(self.msg_ids), topics, bodies, strict=True)
            return [
                Record(seq, self.time, msg_id, topic, body, intact)
                for seq, (msg_id, topic, body) in enumerate(found, self.first)
            ]
        except TypeError as error:
            raise ValueError(str(error)) from error


def pack(first: int, time: int, entries: Sequence[Entry]) -> Iterator[Block]:
    """Put messages into blocks.

    Args:
        first: ``seq`` of the first message.
        time: when they are journaled, in Unix microseconds.
        entries: the messages.
    """
    if not entries:
        return
    topics, bodies, msg_ids = zip(*entries, strict=True)
    sizes = list(accumulate(map(add, map(len, topics), map(len, bodies))))
    start = before = 0
    while start < len(entries):
        end = min(start + MESSAGES, max(start + 1, bisect_right(sizes, before + BYTES)))
        yield seal(first + start, time, topics[start:end], bodies[start:end], msg_ids[start:end])
        start, before = end, sizes[end - 1]


def seal(
    first: int, time: int, topics: Sequence[bytes], bodies: Sequence[bytes], msg_ids: Sequence[str | None]
) -> Block:
    """Make one block.

    Args:
        first: ``seq`` of its first message.
        time: when it is journaled, in Unix microseconds.
        topics: first frame of each message.
        bodies: second frame of each message.
        msg_ids: ``msg_id`` of each message, or None.
    """
    block = Block(
        first,
        len(topics),
        time,
        0,
        _encode(list(accumulate(map(len, topics)))).decode(),
        _encode(list(accumulate(map(len, bodies)))).decode(),
        _encode(msg_ids).decode(),
        b"".join(topics),
        b"".join(bodies),
    )
    return block._replace(crc=block.checksum())


def repack(records: Iterable[Record]) -> Iterator[Block]:
    """Put messages that were journaled before into blocks. Those with the same time in a row share one.

    Args:
        records: the messages; they keep ``seq`` and time.
    """
    run: list[Record] = []
    size = 0
    for record in records:
        size += record.size
        follows = run and (record.seq, record.time) == (run[-1].seq + 1, run[-1].time)
        if run and (not follows or len(run) == MESSAGES or size > BYTES or record.intact != run[-1].intact):
            yield _seal_run(run)
            run, size = [], record.size
        run.append(record)
    if run:
        yield _seal_run(run)


def _seal_run(run: Sequence[Record]) -> Block:
    _, times, msg_ids, topics, bodies, _ = zip(*run, strict=True)
    made = seal(run[0].seq, times[0], topics, bodies, msg_ids)
    return made if run[0].intact else made._replace(crc=made.crc ^ 1)  # what is damaged stays so


def insert(db: sqlite3.Connection, blocks: Iterable[Block]) -> None:
    """Write blocks. Within a transaction.

    Args:
        db: a journal.
        blocks: to write.
    """
    db.executemany(f"INSERT INTO block ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", blocks)  # noqa: S608


def read(db: sqlite3.Connection, where: str, *parameters: object) -> Iterator[Block]:
    """Read blocks.

    Args:
        db: a journal.
        where: the end of the query, after ``FROM block``; never any user's input.
        parameters: for its placeholders.
    """
    query = f"SELECT {_COLUMNS} FROM block {where}"  # noqa: S608 -- only our own text
    return map(Block._make, db.execute(query, parameters))


def read_from(db: sqlite3.Connection, seq: int) -> Iterator[Block]:
    """Read blocks from a message on, in their order. The first one may begin before that message.

    Args:
        db: a journal.
        seq: of the message; it need not be there.
    """
    return read(db, f"WHERE first >= {AT} ORDER BY first", seq, seq)


AT = "coalesce((SELECT max(first) FROM block WHERE first <= ?), ?)"
"""In a query: where the block begins that holds a message, by its ``seq``, which is given twice."""


def encode_msg_id(msg_id: str) -> str:
    """Make what stands in the column ``msg_ids`` for one message.

    Args:
        msg_id: of the message.
    """
    return _encode(msg_id).decode()


def decode_msg_ids(text: str) -> list[str | None]:
    """Take the column ``msg_ids`` apart.

    Args:
        text: of the column.

    Raises:
        ValueError: it is damaged.
    """
    return _decode_msg_ids(text)


def decode_topics(topics: bytes, ends: str) -> Iterator[bytes]:
    """Take the column ``topics`` apart.

    Args:
        topics: the column.
        ends: the column ``topic_ends``.

    Raises:
        ValueError: it is damaged.
    """
    return _cut(topics, _decode_ends(ends))


def decode_lengths(ends: str) -> list[int]:
    """Get how long each frame is.

    Args:
        ends: the column ``topic_ends`` or ``body_ends``.

    Raises:
        ValueError: it is damaged.
    """
    return [end - start for start, end in pairwise([0, *_decode_ends(ends)])]


def _cut(joined: bytes, ends: list[int]) -> Iterator[bytes]:
    return (joined[start:end] for start, end in pairwise([0, *ends]))
