"""The table ``number``: every ``seq`` of the journal, and some that are yet to come.

Without it, SQLite would read the whole journal to find the last message through the view ``message``, as the ``seq``
of a message stands nowhere in a block. The relay itself never reads this table. It is filled ahead, so that most
transactions do not touch it.
"""

from __future__ import annotations

import sqlite3

AHEAD = 1000
"""Numbers that are added at once beyond the needed ones."""


class Numbers:
    """The numbers in a journal that is open for writing.

    Args:
        db: the journal.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last = highest(db)

    def reach(self, first: int, last: int) -> None:
        """Make sure that messages have their numbers. Within a transaction.

        Args:
            first: ``seq`` of the first of these messages.
            last: ``seq`` of the last one.
        """
        if last > self._last:
            add(self._db, max(first, self._last + 1), last + AHEAD)

    def note(self, last: int) -> None:
        """Note that the transaction is on disk.

        Args:
            last: ``seq`` of the last message.
        """
        if last > self._last:
            self._last = last + AHEAD


def highest(db: sqlite3.Connection) -> int:
    """Get the highest number that is there; 0 where there is none.

    Args:
        db: a journal.
    """
    found = db.execute("SELECT max(seq) FROM number").fetchone()[0]
    return int(found or 0)


def add(db: sqlite3.Connection, first: int, last: int) -> None:
    """Add numbers. Within a transaction.

    Args:
        db: a journal.
        first: the first one.
        last: the last one.
    """
    each = "WITH RECURSIVE each (seq) AS (SELECT ? UNION ALL SELECT seq + 1 FROM each WHERE seq < ?)"
    db.execute(f"{each} INSERT OR IGNORE INTO number SELECT seq FROM each", (first, last))  # noqa: S608
