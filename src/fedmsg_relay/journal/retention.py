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
"""Rows, and bytes, that one step removes at most, so that it never holds up the pipeline for long; and bytes where the
disk is short of room, as what is removed is written into the WAL."""

SPARE_PAGES = 250
"""Free pages that are not given back to the disk: the next messages need them."""

DEDUP_WINDOW = 50_000
"""A message that is among the last so many journaled ones is a duplicate when it is submitted again."""


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
    """Choose what goes in one step.

    Args:
        db: the journal.
        limit: ``seq`` of the last message that may go.
        surplus: bytes that are too much.
        keep_seconds: age a message may reach.
        short: whether the disk is short of room.

    Returns:
        ``seq`` of the last message that goes; 0 where none does.
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

    What is still in the dedup window leaves its name and a digest behind.

    Args:
        db: the journal.
        upto: ``seq`` of the last message that goes.
        last: ``seq`` of the last message of the journal.

    Returns:
        How many were removed.
    """
    _remember(db, last - DEDUP_WINDOW, upto)
    return int(db.execute("DELETE FROM message WHERE seq <= ?", (upto,)).rowcount)


def _remember(db: sqlite3.Connection, after: int, upto: int) -> None:
    """Keep what a retry of the messages that go is known by."""
    db.execute("DELETE FROM name WHERE seq <= ?", (after,))
    query = "SELECT seq, msg_id, topic, body FROM message WHERE seq > ? AND seq <= ? AND msg_id IS NOT NULL"
    going = db.execute(query, (after, upto))
    rows = ((seq, msg_id, digest(topic, body)) for seq, msg_id, topic, body in going)
    db.executemany("INSERT OR REPLACE INTO name VALUES (?, ?, ?)", rows)


def give_back(db: sqlite3.Connection) -> int:
    """Give some free pages back to the disk; a few are kept for what comes next.

    Args:
        db: the journal.

    Returns:
        How many.
    """
    free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
    if free <= SPARE_PAGES:
        return 0
    # As a script: execute() takes one step of it only, which is one page.
    db.executescript(f"PRAGMA incremental_vacuum({SPARE_PAGES})")
    return min(free - SPARE_PAGES, SPARE_PAGES)
