"""The relay's counters and the two identities they must keep, always:

    received             = journaled + quarantined + refused + duplicates + unjournaled
    journaled + carried  = published + waiting + damaged

``unjournaled`` is not 0 only where the journal could not be written and inbound was forwarded all the same;
``carried`` is what an earlier run had journaled and not published; ``damaged`` what the journal could not give back.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, fields


@dataclass
class Counts:
    """Messages since the start.

    Attributes:
        received: taken in, at inbound and submit.
        journaled: on disk.
        quarantined: not well-formed.
        refused: submitted, and refused.
        duplicates: submitted, and in the journal already.
        unjournaled: forwarded without a journal.
        carried: waiting in the journal at the start.
        published: handed to outbound from the journal.
        waiting: in the journal and not published yet.
        damaged: in the journal with other bytes than were written, and so not published.
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

    @property
    def balanced(self) -> bool:
        """Whether both identities hold."""
        taken = self.journaled + self.quarantined + self.refused + self.duplicates + self.unjournaled
        return (
            self.waiting >= 0
            and self.received == taken
            and self.journaled + self.carried == self.published + self.waiting + self.damaged
        )


class Accounting:
    """Counts whole batches, so that every view of it can be held against the identities. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        self._dropped: Counter[str] = Counter()

    def add(self, counts: Counts, waiting: int, dropped: Counter[str]) -> None:
        """Count what one turn of the pipeline did.

        Args:
            counts: what to add; its ``waiting`` is not looked at.
            waiting: messages between the journal's end and what is published, as the journal says it.
            dropped: messages quarantined or refused, by reason.
        """
        with self._lock:
            for field in fields(Counts):
                setattr(self._counts, field.name, getattr(self._counts, field.name) + getattr(counts, field.name))
            self._counts.waiting = waiting
            self._dropped.update(dropped)

    def totals(self) -> Counts:
        """Get the counters as they stand after the last whole turn."""
        with self._lock:
            return Counts(**{field.name: getattr(self._counts, field.name) for field in fields(Counts)})

    def dropped(self) -> Counter[str]:
        """Get how many messages were quarantined or refused, by reason."""
        with self._lock:
            return Counter(self._dropped)
