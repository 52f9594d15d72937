"""The messages of a journal, for readers: the one module of the web process that knows what a journal looks like.

There is no index by time or topic, as it would cost the relay's pipeline. A journal is in the order of its ``seq``, and
so of its times: a moment is found by bisection. A search looks at messages one by one, and is bounded.

If the clock of the relay's host was set back, the messages of that time are found by ``seq``, but not reliably by time.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import schema
from fedmsg_relay.journal.records import Record, read_records
from fedmsg_relay.web import limits
from fedmsg_relay.web.gate import Gate

_STEPS = 10_000
"""Steps of SQLite between two looks at the clock."""

_ROWS = 2000
"""Messages that one statement looks at: an open one would keep the relay's WAL growing."""

_AT_ONCE = 200
"""Messages that one statement reads in full."""


class Row(NamedTuple):
    """A message without its body."""

    seq: int
    time: int
    msg_id: str | None
    topic: bytes
    size: int


class Dropped(NamedTuple):
    """A message of the quarantine, without its body."""

    time: int
    reason: str
    source: str
    topic: bytes
    size: int


class History:
    """A journal, open for reading. Used by one thread.

    Args:
        db: from :meth:`Source.opened`.
        gate: that each statement goes through.
    """

    def __init__(self, db: sqlite3.Connection, gate: Gate) -> None:
        self._db = db
        self._gate = gate

    def ends(self) -> tuple[int, int] | None:
        """Get ``seq`` of the first and the last message; None if there is none."""
        first, last = self._one("SELECT min(seq) FROM message"), self._one("SELECT max(seq) FROM message")
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
        low, high = ends[0], ends[1] + 1
        while low < high:
            middle = (low + high) // 2
            found = self._all("SELECT seq, time FROM message WHERE seq >= ? ORDER BY seq LIMIT 1", middle)
            if not found or found[0][1] >= moment:
                high = middle
            else:
                low = found[0][0] + 1
        return low

    def numbers(self, first: int, last: int) -> list[range]:
        """Find the numbers in a range that messages have, without looking at each.

        A journal that was begun anew may leave out very many numbers at once. A few that are missing are not noticed.

        Args:
            first: the lowest ``seq``.
            last: the highest ``seq``.

        Returns:
            Ranges in ascending order.
        """
        lowest = self._one("SELECT min(seq) FROM message WHERE seq >= ?", first)
        highest = self._one("SELECT max(seq) FROM message WHERE seq <= ?", last)
        if lowest is None or highest is None or lowest > highest:
            return []
        middle = (lowest + highest) // 2
        above = self._one("SELECT min(seq) FROM message WHERE seq >= ?", middle)
        below = self._one("SELECT max(seq) FROM message WHERE seq <= ?", middle)
        if above is None or below is None or above == below:
            return [range(lowest, highest + 1)]
        return [*self.numbers(lowest, below), *self.numbers(above, highest)]

    def rows(self, first: int, last: int, descending: bool = False) -> Iterator[Row]:
        """Go through messages without their bodies.

        Args:
            first: the lowest ``seq``.
            last: the highest ``seq``.
            descending: the newest first.

        Yields:
            Each message.
        """
        columns, within = "seq, time, msg_id, topic, length(body)", "WHERE seq BETWEEN ? AND ? ORDER BY seq"
        query = f"SELECT {columns} FROM message {within} {'DESC' if descending else 'ASC'} LIMIT ?"  # noqa: S608
        while page := [Row(*found) for found in self._all(query, first, last, _ROWS)]:
            yield from page
            if descending:
                last = page[-1].seq - 1
            else:
                first = page[-1].seq + 1

    def names(self, after: int, count: int) -> list[tuple[int, str | None]]:
        """Get ``seq`` and ``msg_id`` of messages, in order.

        Args:
            after: the ``seq`` before the first one.
            count: maximum number.
        """
        query = "SELECT seq, msg_id FROM message WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._all(query, after, count)

    def newest_named(self, msg_id: str, count: int) -> list[int]:
        """Get the ``seq`` of each message with a ``msg_id``, the newest first.

        Args:
            msg_id: the one to find.
            count: number of messages, the newest, that are looked at.
        """
        last = self._one("SELECT max(seq) FROM message") or 0
        query = "SELECT seq FROM message WHERE msg_id = ? AND seq > ? ORDER BY seq DESC LIMIT ?"
        return [seq for (seq,) in self._all(query, msg_id, last - count, limits.NAMESAKES)]

    def read(self, numbers: Sequence[int]) -> list[Record]:
        """Read messages in full.

        Args:
            numbers: the ``seq`` of each.

        Returns:
            Those that are there and intact, in the order of the numbers.
        """
        found: dict[int, Record] = {}
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            with self._gate.reading():
                records = list(read_records(self._db, f"WHERE seq IN ({marks})", *part))
            found |= {record.seq: record for record in records}
        return [found[seq] for seq in numbers if seq in found and found[seq].intact]

    def portions(self, numbers: Sequence[int], size: int) -> list[list[int]]:
        """Divide messages into portions, none of which has more bytes than a limit, but for single messages.

        Args:
            numbers: the ``seq`` of each.
            size: the limit.

        Returns:
            The ``seq`` of each message of each portion; without those that are not there.
        """
        sizes: dict[int, int] = {}
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT seq, length(topic) + length(body) FROM message WHERE seq IN ({marks})"  # noqa: S608
            sizes |= dict(self._all(query, *part))
        portions: list[list[int]] = []
        room = 0
        for seq in filter(sizes.__contains__, numbers):
            if not portions or sizes[seq] > room or len(portions[-1]) >= _AT_ONCE:
                portions.append([])
                room = size
            portions[-1].append(seq)
            room -= sizes[seq]
        return portions

    def times(self) -> tuple[int, int] | None:
        """Get when the first and the last message were journaled, in Unix microseconds; None if there is none."""
        query = "SELECT time FROM message ORDER BY seq {} LIMIT 1"
        first, last = (self._all(query.format(order)) for order in ("ASC", "DESC"))
        return (first[0][0], last[0][0]) if first and last else None

    def published(self) -> int:
        """Get ``seq`` of the last message that was published."""
        with self._gate.reading():
            return schema.find_position(self._db).published

    def dropped(self, texts: Collection[bytes], count: int) -> list[Dropped]:
        """Find messages of the quarantine that have a text in their body, the newest first.

        Args:
            texts: one of them is enough.
            count: maximum number.
        """
        either = " OR ".join("instr(body, ?)" for _ in texts)
        query = f"SELECT time, reason, source, topic, size FROM quarantine WHERE {either} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return [Dropped(*found) for found in self._all(query, *texts, count)]

    def _one(self, query: str, *values: object) -> int | None:
        found: int | None = self._all(query, *values)[0][0]
        return found

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._gate.reading():
            return self._db.execute(query, values).fetchall()


class Source:
    """Where the journal is.

    Args:
        path: of ``journal.db``.

    Attributes:
        path: of ``journal.db``.
        gate: that all readers go through.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gate = Gate(path)

    @contextlib.contextmanager
    def opened(self) -> Iterator[History]:
        """Open the journal for one look, which is bounded in time.

        It is opened for each look, as the relay may put another file in its place at any time.

        Raises:
            JournalError: it is not there, cannot be read, or the look takes too long.
        """
        ends = time.monotonic() + limits.READ_SECONDS
        try:
            db = schema.open_for_reading(self.path)
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: {error}") from error
        try:
            db.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            yield History(db, self.gate)
        except sqlite3.Error as error:
            if time.monotonic() > ends:
                raise JournalError(f"a look into the journal took more than {limits.READ_SECONDS:g} s") from error
            raise JournalError(f"journal {self.path}: {error}") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise JournalError(f"journal {self.path}: holds data that no relay has written: {error}") from error
        finally:
            db.close()
