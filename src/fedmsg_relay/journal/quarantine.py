"""The quarantine: the newest messages that were not taken, within bounds of its own."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence

from fedmsg_relay.journal.records import Rejected

ROWS = 10_000
"""Maximum number of messages."""

FRAME_BYTES = 8_192
"""Bytes that are kept of each frame."""

SHARE = 10
MOST_BYTES = 16 * 1024 * 1024
"""Maximum size: one part in ``SHARE`` of the journal's maximum size, but no more than ``MOST_BYTES``."""

STEP_ROWS = 2_000
"""Maximum number of rows that are removed at once, so that this does not hold up the pipeline for long."""

_PAGE = 16 * 1024
_ROW = 64
"""Bytes of a row besides its frames, rounded up."""


class Quarantine:
    """Keeps messages that were not taken, in the table ``quarantine``.

    Args:
        db: the journal.

    Attributes:
        size: bytes that the quarantine takes.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.size = 0
        self._limit = MOST_BYTES
        self._db = db
        self._sizes: deque[int] = deque()
        self.count()

    def count(self) -> None:
        """Count what the table holds: at first, and when a transaction was undone."""
        query = "SELECT length(topic) + length(body) FROM quarantine ORDER BY id"
        self._sizes = deque(_place(length) for (length,) in self._db.execute(query))
        self.size = sum(self._sizes)

    def add(self, now: int, rejected: Sequence[Rejected]) -> None:
        """Add messages; the oldest make room. Within a transaction.

        Args:
            now: Unix microseconds.
            rejected: the messages.
        """
        rows = [
            (now, r.reason, r.source, r.topic[:FRAME_BYTES], r.body[:FRAME_BYTES], r.size) for r in rejected[-ROWS:]
        ]
        insert = "INSERT INTO quarantine (time, reason, source, topic, body, size) VALUES (?, ?, ?, ?, ?, ?)"
        self._db.executemany(insert, rows)
        sizes = [_place(len(row[3]) + len(row[4])) for row in rows]
        self._sizes.extend(sizes)
        self.size += sum(sizes)
        self._remove_surplus(len(rows) + STEP_ROWS)

    def surplus(self, keep_bytes: int) -> bool:
        """Tell whether the quarantine is above its maximum size.

        Args:
            keep_bytes: maximum size of the journal.
        """
        self._limit = share(keep_bytes)
        return len(self._sizes) > ROWS or self.size > self._limit

    def trim(self) -> int:
        """Remove some of the oldest messages that are too many. Within a transaction.

        Returns:
            Number of removed messages.
        """
        return self._remove_surplus(STEP_ROWS)

    def _remove_surplus(self, at_most: int) -> int:
        removed = 0
        while removed < at_most and (len(self._sizes) > ROWS or self.size > self._limit):
            self.size -= self._sizes.popleft()
            removed += 1
        if removed:
            oldest = "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine ORDER BY id LIMIT ?)"
            self._db.execute(oldest, (removed,))
        return removed


def share(keep_bytes: int) -> int:
    """Get the maximum size of the quarantine.

    Args:
        keep_bytes: maximum size of the journal.
    """
    return min(MOST_BYTES, keep_bytes // SHARE)


def _place(length: int) -> int:
    """Get the bytes that a row takes: a row above half a page has a page to itself, a larger one has several."""
    return _PAGE * -(-(length + _PAGE // 8) // _PAGE) if length > _PAGE // 2 - _ROW else length + _ROW
