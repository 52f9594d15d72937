"""The relay's counters and the two identities they must keep, always:

    received             = journaled + quarantined + refused + duplicates + unjournaled
    journaled + carried  = published + waiting + damaged + refused_upstream

``unjournaled`` counts messages from inbound that were published although the journal could not be written. ``carried``
counts messages that an earlier run had journaled and not published. ``damaged`` counts messages that are damaged or
missing in the journal, ``refused_upstream`` messages that the upstream of a chained relay does not take. A message that
is released from the quarantine is received once more.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass
class Counts:
    """Numbers of messages since the start.

    Attributes:
        received: came at inbound or submit.
        journaled: are on disk.
        quarantined: came at inbound and were not well-formed, or not trusted.
        refused: were submitted and refused.
        duplicates: were in the journal already.
        unjournaled: were published without being in the journal.
        carried: waited in the journal at the start.
        published: were sent from the journal.
        waiting: are in the journal and not sent yet.
        damaged: are damaged or missing in the journal, and so not published.
        refused_upstream: are in the journal, and the upstream refused them.
    """

    received: int = 0
    journaled: int = 0
    quarantined: int = 0
    refused: int = 0
    duplicates: int = 0
    unjournaled: int = 0
    carried: int = 0
    published: int = 0
    waiting: int = 0
    damaged: int = 0
    refused_upstream: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())

    @property
    def balanced(self) -> bool:
        """Whether both identities hold."""
        taken = self.journaled + self.quarantined + self.refused + self.duplicates + self.unjournaled
        return (
            self.waiting >= 0
            and self.received == taken
            and self.journaled + self.carried == self.published + self.waiting + self.damaged + self.refused_upstream
        )

    def describe(self) -> str:
        """Write them in one line, as the log has them at a stop."""
        told = {
            "received": self.received,
            "published": self.published + self.unjournaled,
            "dropped": self.quarantined + self.refused,
            "journaled": self.journaled,
            "quarantined": self.quarantined,
            "refused": self.refused,
            "duplicates": self.duplicates,
            "unjournaled": self.unjournaled,
            "carried": self.carried,
            "waiting": self.waiting,
            "damaged": self.damaged,
            "refused_upstream": self.refused_upstream,
        }
        return " ".join(f"{name}={number}" for name, number in told.items())


class Accounting:
    """Counts whole turns of the pipeline, so that the identities hold whenever they are looked at. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        self._dropped: Counter[str] = Counter()
        self._ways: Counter[str] = Counter()

    def add(self, counts: Counts, waiting: int, dropped: Counter[str], ways: Mapping[str, int]) -> bool:
        """Count what one turn of the pipeline did.

        Args:
            counts: to add; its ``waiting`` is not looked at.
            waiting: number of messages that wait in the journal now.
            dropped: numbers of messages quarantined or refused, by reason.
            ways: numbers of messages received, by the way in.

        Returns:
            Whether the counters still add up.
        """
        with self._lock:
            for name, number in vars(counts).items():
                if number:
                    setattr(self._counts, name, getattr(self._counts, name) + number)
            self._counts.waiting = waiting
            for reason, number in dropped.items():
                self._dropped[reason] += number
            for way, number in ways.items():
                self._ways[way] += number
            return self._counts.balanced

    def totals(self) -> Counts:
        """Get the counters as they stand after the last whole turn."""
        with self._lock:
            return replace(self._counts)

    def ways(self) -> Counter[str]:
        """Get how many messages were received, by the way in."""
        with self._lock:
            return Counter(self._ways)

    def dropped(self) -> Counter[str]:
        """Get how many messages were quarantined or refused, by reason."""
        with self._lock:
            return Counter(self._dropped)
