"""The comparison of what arrived at the tap with the journal, by number: missing, twice, different, late, unknown.

Memory is a few ranges of numbers. A message that is not in them has arrived, or was never sent.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fedmsg_relay.bridge.ledger import Ledger, counters
from fedmsg_relay.bridge.mapping import Outgoing, outgoing
from fedmsg_relay.bridge.ranges import Ranges
from fedmsg_relay.bridge.reading import Reader
from fedmsg_relay.journal.records import Record
from fedmsg_relay.runtime.log import log

LATE_SECONDS = 10.0
"""Time after its confirm in which a message has to arrive, if the tap queue is empty by then."""

READ_ROWS = 500
"""Messages of the journal that are read at once."""

HOLES = 1000
"""Ranges of missing messages that are remembered one by one. All missing messages are counted."""

_COUNTERS = ("begin", "front", "arrived", "missing", "twice", "different", "late", "unknown", "unchecked")


class Arrival(NamedTuple):
    """A message of this relay that the tap got."""

    seq: int
    message: Outgoing
    again: bool


class Comparison:
    """Holds arrivals against the journal.

    Args:
        reader: reads the journal.
        ledger: has the cursor, and what was not sent; remembers what arrived.
        relay: identity of the relay.

    Attributes:
        counters: by name.
    """

    def __init__(self, reader: Reader, ledger: Ledger, relay: str) -> None:
        self._reader = reader
        self._ledger = ledger
        self._relay = relay
        self._cursor = 0
        self._cursors: deque[tuple[float, int]] = deque()
        known = ledger.counters("tap.")
        forward = ledger.counters("forward.")
        self._begun = "begin" in known
        # A new tap beside an old bridge begins where the bridge is.
        self._start = forward.get("cursor")
        self.counters = {name: known.get(name, 0) for name in _COUNTERS}
        self._renewed = known.get("renewed", forward.get("renewed", 0))
        with ledger.transaction() as db:
            self._arrived = Ranges(db.execute("SELECT first, last FROM arrived ORDER BY first").fetchall())
            self._missing = Ranges(db.execute("SELECT first, last FROM missing ORDER BY first").fetchall())
            self._topics = dict(db.execute("SELECT first, topic FROM missing").fetchall())

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """Compare arrivals with the journal, and remember them.

        Raises:
            RelayError: the journal, or the ledger, cannot be used.
        """
        found = sorted(arrivals, key=lambda arrival: arrival.seq)
        same = self._hold(found)
        first = self._reader.ends().first
        self._begin()
        for arrival, verdict in zip(found, same, strict=True):
            self._take(arrival, verdict, arrival.seq < first)
        self._advance(self._unsent())
        self._write()

    def note_drained(self, when: float) -> None:
        """Note that the tap queue was empty: what was confirmed long enough before has arrived, or is missing.

        Args:
            when: by the monotonic clock. All messages that the broker had sent by then were taken.

        Raises:
            RelayError: the journal, or the ledger, cannot be used.
        """
        self._begin()
        self._cursors.append((time.monotonic(), self._cursor))
        due = 0
        while self._cursors and self._cursors[0][0] <= when - LATE_SECONDS:
            due = self._cursors.popleft()[1]
        unsent = self._unsent()
        self._advance(unsent)
        front = self.counters["front"]
        while self.counters["front"] < due:
            self._miss(due, unsent)
            self._advance(unsent)
        if front != self.counters["front"]:
            self._write()

    def _begin(self) -> None:
        """Begin at the cursor, the first time and where the journal was begun anew."""
        forward = self._ledger.counters("forward.")
        self._cursor = forward.get("cursor", 0)
        if "begin" not in forward:
            return
        renewed = forward.get("renewed", 0)
        if self._begun and renewed == self._renewed:
            return
        start = self._start
        if renewed != self._renewed:  # all numbers are of the journal before
            start = None
            self.counters = dict.fromkeys(_COUNTERS, 0)
            self._missing, self._topics = Ranges(), {}
        start = forward["begin"] if start is None else start
        self._begun, self._renewed = True, renewed
        self.counters |= {"begin": start, "front": start}
        self._arrived = Ranges()
        self._cursors.clear()

    def _hold(self, found: Sequence[Arrival]) -> list[bool | None]:
        """Hold arrivals against the journal, a portion of it at a time: these may be all of its large messages.

        Args:
            found: by their numbers.

        Returns:
            For each whether it is the same; None where the journal has nothing that would be sent.
        """
        verdicts: list[bool | None] = []
        portion: dict[int, Record] = {}
        upto = 0
        for arrival in found:
            if arrival.seq > upto:
                portion.clear()
                limit = min(found[-1].seq - arrival.seq + 1, READ_ROWS)
                portion |= {record.seq: record for record in self._reader.messages_after(arrival.seq - 1, limit)}
                upto = max(portion, default=found[-1].seq)
            record = portion.get(arrival.seq)
            expected = outgoing(record, self._relay) if record else None
            verdicts.append(_is_same(arrival.message, expected) if isinstance(expected, Outgoing) else None)
        return verdicts

    def _take(self, arrival: Arrival, same: bool | None, removed: bool) -> None:
        if arrival.seq <= self.counters["begin"]:
            return
        if same is None:
            self.counters["unchecked" if removed else "unknown"] += 1
            if arrival.seq > self._cursor:  # nobody has sent it
                return
        elif not same:
            self.counters["different"] += 1
            log.error("tap: message %d (%s) differs from the journal", arrival.seq, arrival.message.routing_key)
        if arrival.seq in self._missing:
            self._find(arrival.seq)
        elif arrival.seq <= self.counters["front"] or arrival.seq in self._arrived:
            self.counters["twice"] += not arrival.again
        else:
            self.counters["arrived"] += 1
            self._arrived.add(arrival.seq)

    def _find(self, seq: int) -> None:
        """Note that a message that was missing has come."""
        self._missing.remove(seq)
        self.counters["missing"] -= 1
        self.counters["late"] += 1
        self.counters["arrived"] += 1

    def _unsent(self) -> Ranges:
        return Ranges(self._ledger.unsent_after(self.counters["front"]))

    def _advance(self, unsent: Ranges) -> None:
        """Move the front over what has arrived or was never sent."""
        front = self.counters["front"]
        while (end := self._arrived.end_of(front + 1) or unsent.end_of(front + 1)) is not None:
            front = end
        self._arrived.forget(front)
        self.counters["front"] = front

    def _miss(self, due: int, unsent: Ranges) -> None:
        """Note that what follows the front is missing, up to what has arrived or was not sent."""
        first = self.counters["front"] + 1
        ends = [due, *(n - 1 for n in (self._arrived.next_after(first), unsent.next_after(first)) if n is not None)]
        last = min(ends)
        records = self._reader.messages_after(first - 1, 1)
        topic = records[0].topic.decode(errors="replace") if records and records[0].seq == first else ""
        log.error("tap: %d messages from %d on did not arrive, the first of topic %s", last - first + 1, first, topic)
        self.counters["missing"] += last - first + 1
        self.counters["front"] = last
        if len(self._missing) < HOLES:
            self._topics[first] = topic
            self._missing.append(first, last)

    def _write(self) -> None:
        now = int(time.time())
        self._topics = {first: self._topics.get(first, "") for first, _ in self._missing}
        holes = [(first, last, now, self._topics[first]) for first, last in self._missing]
        with self._ledger.transaction() as db:
            if counters(db, "forward.").get("renewed", 0) != self._renewed:
                return  # the journal was begun anew just now, and all this is of the one before
            self._ledger.write_counters(db, "tap.", {**self.counters, "renewed": self._renewed})
            db.execute("DELETE FROM unsent WHERE last <= ?", (self.counters["front"],))
            db.execute("DELETE FROM arrived")
            db.executemany("INSERT INTO arrived VALUES (?, ?)", list(self._arrived))
            db.execute("DELETE FROM missing")
            db.executemany("INSERT INTO missing VALUES (?, ?, ?, ?)", holes)


def _is_same(arrived: Outgoing, expected: Outgoing) -> bool:
    """Compare all that we send. The broker may have added headers of its own."""
    ours: dict[str, Any] = {name: arrived.headers.get(name) for name in expected.headers}
    return arrived._replace(headers=ours) == expected
