"""The table ``publish_time``: when messages were published, noted once a second.

A row means: up to this ``seq``, and after the ``seq`` of the row before, messages were published by this time. So the
time of a message is the latest one that is possible, mostly by less than a second. ``time`` is 0 where nobody noted it:
messages that a version without this table published, or that lie before a damaged note.

Only people are told these times, so the table may be missing and its rows may be damaged.
"""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

from fedmsg_relay.journal import position

TABLE = "CREATE TABLE IF NOT EXISTS publish_time (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, crc INTEGER NOT NULL)"

ROW_SECONDS = 1.0
"""Time that one row covers: a later note within it takes the row's place."""

STEP_ROWS = 1000
"""Maximum number of rows that are removed at once, so that it does not hold up the pipeline."""


class _Newest(NamedTuple):
    """The newest row."""

    seq: int
    began: float


class PublishTimes:
    """Notes when messages were published, in a journal that is open for writing.

    Args:
        db: the journal.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._newest: _Newest | None = None
        self._written: _Newest | None = None

    def add(self, previous: int, seq: int) -> None:
        """Note that messages are published now. Within a transaction.

        Args:
            previous: ``seq`` of the last message that was published before these.
            seq: ``seq`` of the last of these messages.
        """
        newest, now = self._newest, time.monotonic()
        if newest is None:
            self._begin(previous)
        if newest and now - newest.began < ROW_SECONDS:
            self._db.execute("DELETE FROM publish_time WHERE seq = ?", (newest.seq,))
            now = newest.began
        else:
            self._remove_old()
        self._insert(seq, time.time_ns() // 1000)
        self._written = _Newest(seq, now)

    def note(self) -> None:
        """Note that the transaction is written."""
        self._newest = self._written

    def _begin(self, previous: int) -> None:
        """Say of the messages before that nobody noted their times, unless somebody did."""
        self._db.execute(TABLE)
        self._db.execute("DELETE FROM publish_time WHERE seq > ?", (previous,))
        if not self._db.execute("SELECT 1 FROM publish_time WHERE seq = ?", (previous,)).fetchone():
            self._insert(previous, 0)

    def _remove_old(self) -> None:
        """Remove rows of messages that retention has removed."""
        old = "SELECT seq FROM publish_time WHERE seq < (SELECT min(first) FROM block) ORDER BY seq LIMIT ?"
        self._db.execute(f"DELETE FROM publish_time WHERE seq IN ({old})", (STEP_ROWS,))  # noqa: S608

    def _insert(self, seq: int, moment: int) -> None:
        row = (seq, moment)
        self._db.execute("INSERT OR REPLACE INTO publish_time VALUES (?, ?, ?)", (*row, position.seal(*row)))


def find(db: sqlite3.Connection, seq: int) -> int | None:
    """Find by when a message was published.

    Args:
        db: a journal.
        seq: of a published message.

    Returns:
        The latest time that is possible, in Unix microseconds; None where nobody noted it.
    """
    query = "SELECT seq, time, crc FROM publish_time WHERE seq >= ? ORDER BY seq LIMIT 1"
    found = position.sealed(db, query, seq)
    return found[1] or None if found else None
