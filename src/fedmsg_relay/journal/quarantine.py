"""The quarantine: the newest messages that were not taken, within bounds of its own.

Messages of one kind push out only older ones of their kind. Whoever sends rubbish so empties neither the shelf of
forged messages nor that of messages which wait until CA and CRL can be used. Those two are kept whole, as they can be
released. A message that was refused at submit is not kept for that: its submitter knows that it was not taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from fedmsg_relay.journal.database import Database
from fedmsg_relay.journal.records import Rejected
from fedmsg_relay.trust.reasons import Reason

ROWS = 10_000
"""Maximum number of messages of a kind."""

FRAME_BYTES = 8_192
"""Bytes that are kept of each frame of a message that is not kept whole."""

SHARE = 10
MOST_BYTES = 16 * 1024 * 1024
MOST_WHOLE_BYTES = 64 * 1024 * 1024
"""Maximum size of a kind: one part in ``SHARE`` of the journal's maximum size, but no more than ``MOST_BYTES``, or
``MOST_WHOLE_BYTES`` of messages that are kept whole."""

STEP_ROWS = 2_000
"""Maximum number of rows that are removed at once, so that this does not hold up the pipeline for long."""

AT_SUBMIT = "/submit"
"""Behind the IP address of a message that was refused at submit for a reason of trust."""

_PAGE = 16 * 1024
_ROW = 64
"""Bytes of a row besides its frames, rounded up."""


class Shelf:
    """The messages of one kind.

    Args:
        most_bytes: maximum size, however large the journal may be.
        whole: whether messages are kept whole.

    Attributes:
        size: bytes that they take.
        removed: number of messages that had to make room.
        removed_before: the same before the transaction at work.
    """

    def __init__(self, most_bytes: int, whole: bool) -> None:
        self.size = 0
        self.removed = self.removed_before = 0
        self.whole = whole
        self.rows: deque[tuple[int, int]] = deque()
        self._most_bytes = self._limit = most_bytes

    @property
    def is_overfull(self) -> bool:
        """Whether the oldest messages have to make room."""
        return len(self.rows) > ROWS or self.size > self._limit

    def limit(self, keep_bytes: int) -> None:
        """Keep to a share of a journal.

        Args:
            keep_bytes: its maximum size.
        """
        self._limit = min(self._most_bytes, keep_bytes // SHARE)

    def kept(self, frame: bytes) -> bytes:
        """Get what is kept of a frame.

        Args:
            frame: the frame.
        """
        return frame if self.whole and _place(len(frame)) <= self._limit else frame[:FRAME_BYTES]

    def put(self, number: int, length: int) -> None:
        """Note a row.

        Args:
            number: its id.
            length: bytes of its frames.
        """
        self.rows.append((number, _place(length)))
        self.size += _place(length)

    def make_room(self, at_most: int) -> list[int]:
        """Get the rows that are to be removed, oldest first, and forget them.

        Args:
            at_most: number of rows.
        """
        gone: list[int] = []
        while len(gone) < at_most and self.is_overfull:
            number, place = self.rows.popleft()
            self.size -= place
            gone.append(number)
        self.removed += len(gone)
        return gone

    def forget(self, numbers: set[int]) -> None:
        """Forget rows that are removed for another cause.

        Args:
            numbers: their ids.
        """
        self.rows = deque(row for row in self.rows if row[0] not in numbers)
        self.size = sum(place for _, place in self.rows)


class Quarantine:
    """Keeps messages that were not taken, in the table ``quarantine``.

    Args:
        database: of the journal.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._db = database.connection
        self._last = 0
        self._dropped = Shelf(MOST_BYTES, whole=False)
        self._distrusted = Shelf(MOST_WHOLE_BYTES, whole=True)
        self._waiting = Shelf(MOST_WHOLE_BYTES, whole=True)
        self._shelves = self._dropped, self._distrusted, self._waiting
        self.count()

    @property
    def size(self) -> int:
        """Bytes that the quarantine takes."""
        return sum(shelf.size for shelf in self._shelves)

    @property
    def waiting(self) -> int:
        """Number of messages that could not be checked, as CA or CRL could not be used."""
        return len(self._waiting.rows)

    @property
    def removed_waiting(self) -> int:
        """Number of messages that waited for CA or CRL and had to make room."""
        return self._waiting.removed

    def begin(self) -> None:
        """Note where a transaction begins that adds or removes messages, so that :meth:`count` can go back there."""
        for shelf in self._shelves:
            shelf.removed_before = shelf.removed

    def count(self) -> None:
        """Count what the table holds: at first, and after each transaction that was undone."""
        for shelf in self._shelves:
            shelf.rows.clear()
            shelf.size, shelf.removed = 0, shelf.removed_before
        query = "SELECT id, reason, source, length(topic) + length(body) FROM quarantine ORDER BY id"
        for number, reason, source, length in self._db.execute(query):
            self._shelf(reason, source).put(number, length)
            self._last = number

    def add(self, now: int, rejected: Sequence[Rejected]) -> None:
        """Add messages; the oldest of their kind make room. Within a transaction.

        Args:
            now: Unix microseconds.
            rejected: the messages.
        """
        rows = []
        for number, one in enumerate(rejected, start=self._last + 1):
            shelf = self._shelf(one.reason, one.source)
            topic, body = shelf.kept(one.topic), shelf.kept(one.body)
            shelf.put(number, len(topic) + len(body))
            rows.append((number, now, one.reason, one.source, topic, body, one.size))
        self._last += len(rows)
        insert = "INSERT INTO quarantine (id, time, reason, source, topic, body, size) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._db.executemany(insert, rows)
        self._make_room(len(rows) + STEP_ROWS)

    def surplus(self, keep_bytes: int) -> bool:
        """Tell whether the quarantine is above its maximum size.

        Args:
            keep_bytes: maximum size of the journal.
        """
        for shelf in self._shelves:
            shelf.limit(keep_bytes)
        return any(shelf.is_overfull for shelf in self._shelves)

    def reserved(self, keep_bytes: int) -> int:
        """Get the bytes of a journal that are not for messages which were taken.

        Args:
            keep_bytes: maximum size of the journal.
        """
        return share(keep_bytes) + self._distrusted.size + self._waiting.size

    def trim(self) -> int:
        """Remove some of the oldest messages that are too many. Within a transaction.

        Returns:
            Number of removed messages.
        """
        return self._make_room(STEP_ROWS)

    def releasable(self) -> list[int]:
        """List the ids of the messages that are kept whole, in the order in which they came."""
        return sorted(number for shelf in (self._distrusted, self._waiting) for number, _ in shelf.rows)

    def read(self, number: int) -> Rejected | None:
        """Read a message.

        Args:
            number: its id.

        Returns:
            The message; None where it is not there any more.

        Raises:
            JournalError: it cannot be read.
        """
        query = "SELECT reason, source, topic, body, size FROM quarantine WHERE id = ?"
        with self._database.named_errors(reading=True):
            row = self._db.execute(query, (number,)).fetchone()
        return None if row is None else Rejected(*row)

    def release(self, numbers: Iterable[int]) -> None:
        """Remove messages that were released. Within the transaction that journals them.

        Args:
            numbers: their ids.
        """
        gone = set(numbers)
        self._remove(gone)
        for shelf in (self._distrusted, self._waiting):
            shelf.forget(gone)

    def _shelf(self, reason: str, source: str) -> Shelf:
        if reason not in _TRUST or source.endswith(AT_SUBMIT):
            return self._dropped
        return self._waiting if reason == Reason.TRUST_UNUSABLE else self._distrusted

    def _make_room(self, at_most: int) -> int:
        gone = [number for shelf in self._shelves for number in shelf.make_room(at_most)]
        self._remove(gone)
        return len(gone)

    def _remove(self, numbers: Iterable[int]) -> None:
        self._db.executemany("DELETE FROM quarantine WHERE id = ?", ((number,) for number in numbers))


_TRUST = frozenset(map(str, Reason))


def share(keep_bytes: int) -> int:
    """Get the maximum size of what the quarantine does not keep whole.

    Args:
        keep_bytes: maximum size of the journal.
    """
    return min(MOST_BYTES, keep_bytes // SHARE)


def _place(length: int) -> int:
    """Get the bytes that a row takes: a row above half a page has a page to itself, a larger one has several."""
    return _PAGE * -(-(length + _PAGE // 8) // _PAGE) if length > _PAGE // 2 - _ROW else length + _ROW
