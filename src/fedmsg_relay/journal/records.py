"""Messages of the journal in memory: entries to be journaled, journaled records, and rejected messages."""

from __future__ import annotations

import hashlib
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
    """A journaled message.

    Attributes:
        intact: whether what it was read from is as it was journaled.
    """

    seq: int
    time: int
    msg_id: str | None
    topic: bytes
    body: bytes
    intact: bool = True

    @property
    def size(self) -> int:
        """Bytes of topic and body."""
        return len(self.topic) + len(self.body)


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
