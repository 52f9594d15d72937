"""The quarantine: the newest of what was not taken, within bounds of its own."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence

from fedmsg_relay.journal.records import Rejected

ROWS = 10_000
FRAME_BYTES = 8_192
"""Bytes that are kept of each frame."""

SHARE = 10
MOST_BYTES = 16 * 1024 * 1024
"""It has this part of what the journal may reach, and no more than these bytes. The rest is the messages'."""

STEP_ROWS = 2_000
"""Rows that are removed at once, so that it never holds up the pipeline for long."""

_PAGE = 16 * 1024
_ROW = 64
"""What a row takes besides its frames, or a little more."""


class Quarantine:
    """Keeps what was not taken in the table of that name.

    Args:
        db: the journal.

    Attributes:
        size: bytes that it takes.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.size = 0
        self._limit = MOST_BYTES
        self._db = db
        self._sizes: deque[int] = deque()
        self.count()

    def count(self) -> None:
        """Count what is there: at first, and when what was done is undone."""
        query = "SELECT length(topic) + length(body) FROM quarantine ORDER BY id"
        self._sizes = deque(_place(length) for (length,) in self._db.execute(query))
        self.size = sum(self._sizes)

    def add(self, now: int, rejected: Sequence[Rejected]) -> None:
        """Take in what was not taken; the oldest make room. Within a transaction.

        Args:
            now: Unix microseconds.
            rejected: what.
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
        """Tell whether there is too much of it.

        Args:
            keep_bytes: what the journal may reach.
        """
        self._limit = share(keep_bytes)
        return len(self._sizes) > ROWS or self.size > self._limit

    def trim(self) -> int:
        """Remove some of the oldest, as far as it is too much. Within a transaction.

        Returns:
            How many.
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
    """Tell how many bytes of what the journal may reach are the quarantine's.

    Args:
        keep_bytes: what the journal may reach.
    """
    return min(MOST_BYTES, keep_bytes // SHARE)


def _place(length: int) -> int:
    """Bytes a row takes: of those above half a page there is one on a page, and what is larger has some beside."""
    return _PAGE * -(-(length + _PAGE // 8) // _PAGE) if length > _PAGE // 2 - _ROW else length + _ROW
