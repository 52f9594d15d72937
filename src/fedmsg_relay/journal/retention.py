"""Retention: the oldest published messages go when they are too old, too many, or the disk is short of room."""

from __future__ import annotations

import sqlite3
import time
from typing import Annotated

import msgspec

from fedmsg_relay.journal.records import digest

STEP_ROWS = 5_000
STEP_BYTES = 16 * 1024 * 1024
SMALL_STEP_BYTES = 128 * 1024
"""Maximum rows, and bytes, that one step removes, so that it does not hold up the pipeline for long. Fewer bytes where
the disk is short of room, as removed pages are written into the WAL first."""

SPARE_PAGES = 250
"""Free pages that the database keeps for the next messages."""

DEDUP_WINDOW = 50_000
"""Number of journaled messages, the newest ones, that are duplicates when they are submitted again."""


class Retention(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[journal]`` of relay.toml: how long messages are kept. Both settings are re-read on SIGHUP.

    Attributes:
        keep_days: days a published message is kept.
        keep_bytes: bytes the journal may reach, with a share for the quarantine; beyond it the oldest published
            messages go first.
    """

    keep_days: Annotated[float, msgspec.Meta(gt=0, le=36500)] = 14.0
    keep_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 4 * 1024 * 1024 * 1024


def choose(db: sqlite3.Connection, limit: int, surplus: int, keep_seconds: float, short: bool) -> int:
    """Choose the messages that one step removes.

    Args:
        db: the journal.
        limit: ``seq`` of the last message that may be removed.
        surplus: bytes by which the journal is too large.
        keep_seconds: maximum age of a message.
        short: whether the disk is short of room.

    Returns:
        ``seq`` of the last message to remove; 0 where there is none.
    """
    too_old = time.time_ns() // 1000 - int(keep_seconds * 1e6)
    at_most = SMALL_STEP_BYTES if short else STEP_BYTES
    upto = freed = 0
    query = "SELECT seq, time, length(topic) + length(body) FROM message WHERE seq <= ? ORDER BY seq LIMIT ?"
    for seq, journaled, length in db.execute(query, (limit, STEP_ROWS)).fetchall():
        if (freed >= surplus and journaled >= too_old) or freed >= at_most:
            break
        upto, freed = max(upto, seq), freed + length
    return upto


def remove(db: sqlite3.Connection, upto: int, last: int) -> int:
    """Remove the oldest messages. Within a transaction.

    A message that is still in the dedup window leaves its ``msg_id`` and a digest behind.

    Args:
        db: the journal.
        upto: ``seq`` of the last message to remove.
        last: ``seq`` of the last message of the journal.

    Returns:
        Number of removed messages.
    """
    _remember(db, last - DEDUP_WINDOW, upto)
    return int(db.execute("DELETE FROM message WHERE seq <= ?", (upto,)).rowcount)


def _remember(db: sqlite3.Connection, after: int, upto: int) -> None:
    """Keep ``msg_id`` and digest of the messages that are removed, so that their retries are still known."""
    db.execute("DELETE FROM name WHERE seq <= ?", (after,))
    query = "SELECT seq, msg_id, topic, body FROM message WHERE seq > ? AND seq <= ? AND msg_id IS NOT NULL"
    going = db.execute(query, (after, upto))
    rows = ((seq, msg_id, digest(topic, body)) for seq, msg_id, topic, body in going)
    db.executemany("INSERT OR REPLACE INTO name VALUES (?, ?, ?)", rows)


def give_back(db: sqlite3.Connection) -> int:
    """Give some free pages back to the disk; a few are kept for the next messages.

    Args:
        db: the journal.

    Returns:
        Number of pages.
    """
    free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
    if free <= SPARE_PAGES:
        return 0
    # Not with execute(), which takes only one step of it: that is one page.
    db.executescript(f"PRAGMA incremental_vacuum({SPARE_PAGES})")
    return min(free - SPARE_PAGES, SPARE_PAGES)
