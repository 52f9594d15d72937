"""What stands in the journal: messages, and what was not taken. The format is :mod:`fedmsg_relay.journal.store`'s."""

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
        """Whether all of it is as it was journaled; a flipped bit may even have made numbers of texts."""
        try:
            if self.crc >= _COVERS_ALL:
                return self.crc == checksum(self.seq, self.time, self.msg_id, self.topic, self.body)
            return self.crc == zlib.crc32(self.body, zlib.crc32(self.topic))
        except (TypeError, AttributeError):
            return False

    def holds(self, entry: Entry) -> bool:
        """Whether it is this message, byte for byte."""
        return (self.topic, self.body) == (entry.topic, entry.body)


_COVERS_ALL = 1 << 32
"""Added to a checksum that covers the whole row: in format 1 it was that of topic and body alone."""


_PRIME = 2**32 - 5
"""The remainder by it is another one with each bit of a number that flips."""


def checksum(seq: int, time: int, msg_id: str | None, topic: bytes, body: bytes) -> int:
    """Make the checksum of a message's row.

    Args:
        seq: its number.
        time: when it was journaled.
        msg_id: its name, if it has one.
        topic: first frame.
        body: second frame.

    Returns:
        A CRC-32, and ``_COVERS_ALL``; it begins with the numbers.
    """
    start = (seq ^ time) % _PRIME
    if msg_id is not None:
        start = zlib.crc32(msg_id.encode(), start)
    return zlib.crc32(body, zlib.crc32(topic, start)) | _COVERS_ALL


def digest(topic: bytes, body: bytes) -> bytes:
    """Make what stands for a message where its bytes are gone: nobody can make another message with the same one.

    Args:
        topic: first frame.
        body: second frame.
    """
    made = hashlib.blake2b(len(topic).to_bytes(8, "big"), digest_size=16)
    made.update(topic)
    made.update(body)
    return made.digest()


def lenient_text(found: bytes) -> str:
    """Read what a flipped bit may have made of a text."""
    return found.decode(errors="backslashreplace")


def read_records(db: sqlite3.Connection, where: str, *parameters: object) -> Iterator[Record]:
    """Read messages.

    Args:
        db: a journal.
        where: what follows ``FROM message`` in the query; never anybody's input.
        parameters: for its placeholders.

    Yields:
        The messages.
    """
    query = f"SELECT seq, time, msg_id, topic, body, crc FROM message {where}"  # noqa: S608 -- only our own text
    yield from map(Record._make, db.execute(query, parameters))
