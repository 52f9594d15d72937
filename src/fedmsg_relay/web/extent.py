"""Which numbers and times a journal has.

There is no index by time, as it would cost the relay's pipeline. A journal is in the order of its ``seq``, and so of
its times: a moment is found by bisection.

If the clock of the relay's host was set back, the messages of that time are found by ``seq``, but not reliably by time.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from fedmsg_relay.journal import position
from fedmsg_relay.web.gate import Gate


class Extent:
    """The numbers and times of a journal that is open for reading. Used by one thread.

    Args:
        db: the journal.
        gate: that each statement goes through.
    """

    def __init__(self, db: sqlite3.Connection, gate: Gate) -> None:
        self._db = db
        self._gate = gate

    def ends(self) -> tuple[int, int] | None:
        """Get ``seq`` of the first and the last message; None if there is none."""
        with self._gate.reading():
            first, last = position.ends(self._db)
        return (first, last) if first is not None and last is not None else None

    def first_since(self, moment: int) -> int:
        """Find the first message that was journaled at a moment or later.

        Args:
            moment: in Unix microseconds.

        Returns:
            Its ``seq``; one more than the last ``seq`` if there is none.
        """
        ends = self.ends()
        if ends is None:
            return 1
        low, high, since = ends[0], ends[1] + 1, ends[1] + 1
        while low < high:
            middle = (low + high) // 2
            found = self._all("SELECT first, time FROM block WHERE first >= ? ORDER BY first LIMIT 1", middle)
            if not found or found[0][1] >= moment:
                high = middle
                since = found[0][0] if found else since
            else:
                low = found[0][0] + 1
        return since

    def numbers(self, first: int, last: int) -> list[range]:
        """Find the numbers in a range that messages have, without looking at each.

        A journal that was begun anew may leave out very many numbers at once. A few that are missing are not noticed.

        Args:
            first: the lowest ``seq``.
            last: the highest ``seq``.

        Returns:
            Ranges in ascending order.
        """
        lowest, highest = self._at_or_above(first), self._at_or_below(last)
        if lowest is None or highest is None or lowest > highest:
            return []
        middle = (lowest + highest) // 2
        above, below = self._at_or_above(middle), self._at_or_below(middle)
        if above is None or below is None or above == below:
            return [range(lowest, highest + 1)]
        return [*self.numbers(lowest, below), *self.numbers(above, highest)]

    def times(self) -> tuple[int, int] | None:
        """Get when the first and the last message were journaled, in Unix microseconds; None if there is none."""
        query = "SELECT time FROM block ORDER BY first {} LIMIT 1"
        first, last = (self._all(query.format(order)) for order in ("ASC", "DESC"))
        return (first[0][0], last[0][0]) if first and last else None

    def _at_or_above(self, seq: int) -> int | None:
        """Find the lowest ``seq`` of a message from a number on."""
        below = self._at_or_below(seq)
        if below == seq:
            return seq
        above: int | None = self._all("SELECT min(first) FROM block WHERE first > ?", seq)[0][0]
        return above

    def _at_or_below(self, seq: int) -> int | None:
        """Find the highest ``seq`` of a message up to a number."""
        found = self._all("SELECT first + messages - 1 FROM block WHERE first <= ? ORDER BY first DESC LIMIT 1", seq)
        return min(seq, found[0][0]) if found else None

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._gate.reading():
            return self._db.execute(query, values).fetchall()
