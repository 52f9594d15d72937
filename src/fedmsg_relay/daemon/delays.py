"""How long messages are in the relay: from the turn that takes them until they are sent on.

It counts messages in fixed steps, as a histogram of Prometheus does. A chained relay has sent a message on when its
upstream has it. Messages of an earlier run are not counted, nor are messages that could not be journaled.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from itertools import islice
from typing import TypedDict

STEPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""Upper ends of the steps, in seconds; a last one takes all above."""

TURNS = 10_000
"""Turns whose time is remembered. Where more of them wait, it is remembered of every second one."""


class DelaysStatus(TypedDict):
    """Messages that were sent on, by the time that they took.

    Attributes:
        steps: for the upper end of each step the number of messages that took no longer.
        messages: number of all.
        seconds: sum of their times.
    """

    steps: dict[str, int]
    messages: int
    seconds: float


class Delays:
    """Counts them. Thread-safe for readers.

    Args:
        last: ``seq`` of the last message of the journal.
    """

    def __init__(self, last: int) -> None:
        self._lock = threading.Lock()
        self._turns: deque[tuple[float, int]] = deque()
        self._taken = self._sent = last
        self._counts = [0] * (len(STEPS) + 1)
        self._seconds = 0.0

    def note(self, began: float, taken: int, sent: int) -> None:
        """Note what a turn took and what it sent on.

        Args:
            began: when the turn began, by the monotonic clock.
            taken: ``seq`` of the last message of the journal now.
            sent: ``seq`` of the last message that was sent on.
        """
        if taken < self._taken:  # another journal
            self._turns.clear()
            self._sent = taken
        elif taken > self._taken:
            self._turns.append((began, taken))
        self._taken = taken
        if sent > self._sent and self._turns:
            self._count(sent)
        self._sent = max(sent, self._sent)
        if len(self._turns) > TURNS:
            self._turns = deque(islice(self._turns, 1, None, 2))

    def describe(self) -> DelaysStatus:
        """Describe them for the status."""
        with self._lock:
            counts, seconds = list(self._counts), self._seconds
        steps, below = {}, 0
        for end, count in zip(STEPS, counts, strict=False):
            below += count
            steps[f"{end:g}"] = below
        return {"steps": steps, "messages": sum(counts), "seconds": round(seconds, 6)}

    def _count(self, sent: int) -> None:
        now = time.monotonic()
        with self._lock:
            while self._turns and self._sent < sent:
                began, upto = self._turns[0]
                messages, took = min(upto, sent) - self._sent, now - began
                self._counts[bisect_left(STEPS, took)] += messages
                self._seconds += messages * took
                self._sent += messages
                if self._sent == upto:
                    self._turns.popleft()
