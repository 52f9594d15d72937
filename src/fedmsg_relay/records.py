"""What stands in the journal: messages, and what was not taken. The format is :mod:`fedmsg_relay.journal`'s."""

from __future__ import annotations

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
    def intact(self) -> bool:
        """Whether its bytes are those that were journaled; a flipped bit may even have made numbers of them."""
        bodily = isinstance(self.topic, bytes) and isinstance(self.body, bytes)
        return bodily and checksum(self.topic, self.body) == self.crc


def checksum(topic: bytes, body: bytes) -> int:
    """CRC-32 of topic, then body."""
    return zlib.crc32(body, zlib.crc32(topic))


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
