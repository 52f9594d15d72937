"""The messages of tests, and how what came out is compared with them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

Message = tuple[bytes, bytes]


def envelope(topic: str, number: int, **msg: object) -> Message:
    """A message as fedmsg makes them, spaced so that even a stock relay's re-encoding keeps the bytes."""
    body = {
        "i": number,
        "msg": msg,
        "msg_id": f"2026-{topic.rpartition('.')[2]}-{number}",
        "timestamp": 1,
        "topic": topic,
    }
    return topic.encode(), json.dumps(body).encode()


def numbered(count: int, start: int = 0) -> list[Message]:
    """Messages that can be told apart, so that an oracle can name the missing one."""
    return [envelope("org.example.test.numbered", n) for n in range(start, start + count)]


def compare(actual: Sequence[object], expected: Sequence[object]) -> None:
    """Fail on the first difference of two long sequences, and show only that."""
    for index, (a, e) in enumerate(itertools.zip_longest(actual, expected)):
        if a != e:
            raise AssertionError(f"at {index}: got {str(a)[:300]}, expected {str(e)[:300]}")
