"""The relay's counters. The identity is received = published + dropped, always, and visible."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from fedmsg_relay.message import Reason


@dataclass(frozen=True)
class Totals:
    """A consistent view of the counters since the start.

    Attributes:
        received: messages taken from inbound.
        published: messages handed to outbound.
        dropped: messages that were not well-formed, by reason; every reason is there.
    """

    received: int
    published: int
    dropped: dict[str, int]

    @property
    def balanced(self) -> bool:
        """Whether the identity holds."""
        return self.received == self.published + sum(self.dropped.values())


class Accounting:
    """Counts whole batches, so that every view of it is balanced. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._published = 0
        self._dropped = dict.fromkeys(Reason, 0)

    def add(self, received: int, published: int, dropped: Counter[Reason]) -> None:
        """Count one batch.

        Args:
            received: messages taken from inbound.
            published: messages handed to outbound.
            dropped: messages dropped, by reason.
        """
        with self._lock:
            self._received += received
            self._published += published
            for reason, count in dropped.items():
                self._dropped[reason] += count

    def totals(self) -> Totals:
        """Get the counters as they stand after the last whole batch."""
        with self._lock:
            return Totals(self._received, self._published, {r.value: n for r, n in self._dropped.items()})
