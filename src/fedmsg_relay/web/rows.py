"""Messages of the journal without their bodies, as they are listed. Messages of a damaged block are left out."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from fedmsg_relay.journal import block


class Row(NamedTuple):
    """A message without its body."""

    seq: int
    time: int
    msg_id: str | None
    topic: bytes
    size: int


class Listed(NamedTuple):
    """What is read of a block to list its messages."""

    first: int
    time: int
    msg_ids: str
    topics: bytes
    topic_ends: str
    body_ends: str

    def rows(self) -> list[Row]:
        """Get its messages; none where it is damaged."""
        with contextlib.suppress(ValueError, TypeError):
            names = block.decode_msg_ids(self.msg_ids)
            topics = block.decode_topics(self.topics, self.topic_ends)
            rows = zip(names, topics, block.decode_lengths(self.body_ends), strict=True)
            return [Row(seq, self.time, *row) for seq, row in enumerate(rows, self.first)]
        return []


def names_of(first: int, msg_ids: str) -> list[tuple[int, str | None]]:
    """Get ``seq`` and ``msg_id`` of a block's messages; none where it is damaged.

    Args:
        first: the column ``first``.
        msg_ids: the column ``msg_ids``.
    """
    with contextlib.suppress(ValueError, TypeError):
        return [*enumerate(block.decode_msg_ids(msg_ids), first)]
    return []


def sizes_of(topic_ends: str, body_ends: str) -> list[int]:
    """Get the bytes of topic and body of each of a block's messages; none where it is damaged.

    Args:
        topic_ends: the column ``topic_ends``.
        body_ends: the column ``body_ends``.
    """
    with contextlib.suppress(ValueError, TypeError):
        lengths = zip(block.decode_lengths(topic_ends), block.decode_lengths(body_ends), strict=True)
        return [topic + body for topic, body in lengths]
    return []
