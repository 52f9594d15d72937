"""The rows of the journal: messages, and messages that were not taken. Their format: :mod:`.schema`."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """A message to be journaled."""

    topic: bytes
    body: bytes
    msg_id: str | None


class Rejected(NamedTuple):
    """A message for the quarantine."""

    reason: str
    source: str
    topic: bytes
    body: bytes
    size: int


class Record(NamedTuple):
    """A journaled message."""

    seq: int
    time: int
    msg_id: str | None
    topic: bytes
    body: bytes
    crc: int

    @property
    def size(self) -> int:
        """Bytes of topic and body."""
        return sum(len(part) for part in (self.topic, self.body) if isinstance(part, bytes))

    @property
    def intact(self) -> bool:
        """Whether the row is as it was journaled. (A flipped bit may even have made a number of a text.)"""
        try:
            if self.crc >= _COVERS_ALL:
                return self.crc == checksum(self.seq, self.time, self.msg_id, self.topic, self.body)
            return self.crc == zlib.crc32(self.body, zlib.crc32(self.topic))
        except (TypeError, AttributeError):
            return False


_COVERS_ALL = 1 << 32
"""Added to a checksum that covers the whole row. In format 1 a checksum covered topic and body alone."""


_PRIME = 2**32 - 5
"""A prime number: when one bit of a number flips, its remainder by this one changes."""


def checksum(seq: int, time: int, msg_id: str | None, topic: bytes, body: bytes) -> int:
    """Make the checksum of a message's row.

    Args:
        seq: of the message.
        time: when it was journaled, in Unix microseconds.
        msg_id: of the message, if it has one.
        topic: first frame.
        body: second frame.

    Returns:
        A CRC-32 of all columns, with ``_COVERS_ALL`` added.
    """
    start = (seq ^ time) % _PRIME
    if msg_id is not None:
        start = zlib.crc32(msg_id.encode(), start)
    return zlib.crc32(body, zlib.crc32(topic, start)) | _COVERS_ALL


def digest(topic: bytes, body: bytes) -> bytes:
    """Make the digest that a message is known by when its bytes are gone: no other message can be made to have it.

    Args:
        topic: first frame.
        body: second frame.
    """
    made = hashlib.blake2b(len(topic).to_bytes(8, "big"), digest_size=16)
    made.update(topic)
    made.update(body)
    return made.digest()


def lenient_text(found: bytes) -> str:
    """Decode a text in which bits may have flipped."""
    return found.decode(errors="backslashreplace")


def read_next(db: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[Record]:
    """Read the next messages, oldest first.

    Args:
        db: a journal.
        after: ``seq`` after which to begin.
        limit: maximum number of messages.
        max_bytes: maximum bytes of them; a larger message comes alone.
    """
    records: list[Record] = []
    size = 0
    for record in read_records(db, "WHERE seq > ? ORDER BY seq LIMIT ?", after, limit):
        size += record.size
        if records and size > max_bytes:
            break
        records.append(record)
    return records


def read_records(db: sqlite3.Connection, where: str, *parameters: object) -> Iterator[Record]:
    """Read messages.

    Args:
        db: a journal.
        where: the end of the query, after ``FROM message``; never any user's input.
        parameters: for its placeholders.

    Yields:
        The messages.
    """
    query = f"SELECT seq, time, msg_id, topic, body, crc FROM message {where}"  # noqa: S608 -- only our own text
    yield from map(Record._make, db.execute(query, parameters))
