"""How many messages came when: bars for the page, from the journal alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from fedmsg_relay.web.history import History

BARS = 60
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Rates:
    """Messages of a time, in bars of equal width.

    Attributes:
        name: of the time.
        seconds: of one bar.
        counts: messages of each bar, the oldest first.
    """

    name: str
    seconds: int
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All messages of the time."""
        return sum(self.counts)

    @property
    def a_second(self) -> float:
        """Messages a second, on average."""
        return self.total / (self.seconds * len(self.counts))

    def bars(self, height: int) -> list[tuple[int, int, int]]:
        """Draw the bars.

        Args:
            height: of the highest.

        Returns:
            Place, top and height of each bar.
        """
        highest = max(self.counts, default=0) or 1
        heights = [-(-count * height // highest) for count in self.counts]
        return [(place, height - high, high) for place, high in enumerate(heights)]


def measure(journal: History) -> list[Rates]:
    """Count the messages of the last hour and the last day.

    Args:
        journal: where they are.
    """
    now = time.time()
    return [_measure(journal, "hour", _HOUR, now), _measure(journal, "day", _DAY, now)]


def _measure(journal: History, name: str, length: int, now: float) -> Rates:
    width = length // BARS
    end = int(now)
    edges = [journal.first_since((end - length + place * width) * 1_000_000) for place in range(BARS)]
    ends = journal.ends()
    edges.append(ends[1] + 1 if ends else 1)
    counts = [sum(map(len, journal.numbers(first, last - 1))) if last > first else 0 for first, last in pairwise(edges)]
    return Rates(name, width, tuple(counts))
