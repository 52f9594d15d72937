"""Retention: the oldest published messages go when they are too old, too many, or the disk is short of room."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import block, position, spared
from fedmsg_relay.journal.database import Database
from fedmsg_relay.journal.quarantine import Quarantine
from fedmsg_relay.journal.records import digest
from fedmsg_relay.journal.room import Room

STEP_MESSAGES = 5_000
STEP_BYTES = 16 * 1024 * 1024
SMALL_STEP_BYTES = 128 * 1024
"""Maximum messages, and bytes, that one step removes, so that it does not hold up the pipeline for long. Fewer bytes
where the disk is short of room, as removed pages are written into the WAL first."""

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


class Trimmer:
    """Removes messages that are too old or too many, a step at a time, so that it does not hold up the pipeline.

    Args:
        database: of the journal.
        quarantine: of the same journal; it is trimmed first.
        room: on the journal's disk.
    """

    def __init__(self, database: Database, quarantine: Quarantine, room: Room) -> None:
        self._database = database
        self._db = database.connection
        self._quarantine = quarantine
        self._room = room

    def is_crowded(self) -> bool:
        """Tell whether room has to be made now, as it is the journal that fills its disk.

        Raises:
            JournalError: the journal cannot be read.
        """
        if not self._room.short:
            return False
        with self._database.named_errors():
            return self._room.lacking(self._database.size()) > 0

    def step(self, published: int, last: int, keep_seconds: float, keep_bytes: int, sent: int | None = None) -> int:
        """Take one step: the quarantine, then the oldest published messages, then free pages.

        Args:
            published: ``seq`` of the last published message.
            last: ``seq`` of the last message, which always stays, with all of its block.
            keep_seconds: maximum age of a message.
            keep_bytes: maximum size of the journal, with a share for the quarantine.
            sent: ``seq`` of the last message that the bridge has sent; later ones are kept ``spared.FACTOR`` times as
                long. None where there is no bridge.

        Returns:
            0 when nothing is left to do; else how much was done.

        Raises:
            UntrustedError: there is a message beyond the last one.
        """
        if self._quarantine.surplus(keep_bytes):
            return self._trim_quarantine()
        limit = min(published, last - 1)
        oldest = self._database.number("SELECT coalesce(min(first), 0) FROM block")
        if oldest > last:
            position.refuse_beyond(self._db, last)
        if 0 < oldest <= limit:
            used = self._database.size()
            messages = used - self._quarantine.size
            surplus = max(messages - (keep_bytes - self._quarantine.reserved(keep_bytes)), self._room.lacking(used))
            upto = self._choose(limit if sent is None else min(limit, sent), surplus, keep_seconds)
            if not upto and sent is not None:
                unspared = max(surplus - (spared.FACTOR - 1) * keep_bytes, self._room.lacking(used))
                upto = self._choose(limit, unspared, spared.FACTOR * keep_seconds)
            if upto:
                with self._database.transaction():
                    return self._remove(upto, last)
        return self._give_back()

    def _trim_quarantine(self) -> int:
        self._quarantine.begin()
        try:
            with self._database.transaction():
                return self._quarantine.trim()
        except JournalError:
            self._quarantine.count()
            raise

    def _choose(self, limit: int, surplus: int, keep_seconds: float) -> int:
        """Choose what this step removes; return the ``seq`` of the last such message, or 0 where there is none."""
        too_old = time.time_ns() // 1000 - int(keep_seconds * 1e6)
        at_most = SMALL_STEP_BYTES if self._room.short else STEP_BYTES
        upto = freed = looked = 0
        query = (
            "SELECT first + messages - 1, messages, time, length(topics) + length(bodies) FROM block "
            "WHERE first <= ? ORDER BY first LIMIT ?"
        )
        # Not fetchall(): most of them are not read.
        for last, messages, journaled, length in self._db.execute(query, (limit, STEP_MESSAGES)):
            enough = freed >= at_most or looked >= STEP_MESSAGES
            if last > limit or enough or (freed >= surplus and journaled >= too_old):
                break
            upto, freed, looked = max(upto, last), freed + length, looked + messages
        return upto

    def _remove(self, upto: int, last: int) -> int:
        """Remove the oldest blocks; return the number of their messages."""
        self._remember(last - DEDUP_WINDOW, upto)
        going = "FROM block WHERE first <= ?"
        number = self._database.number(f"SELECT coalesce(sum(messages), 0) {going}", upto)
        self._db.execute(f"DELETE {going}", (upto,))
        self._db.execute("DELETE FROM number WHERE seq <= ?", (upto,))
        return number

    def _remember(self, after: int, upto: int) -> None:
        """Keep ``msg_id`` and digest of the messages that are removed, so that their retries are still known."""
        self._db.execute("DELETE FROM name WHERE seq <= ?", (after,))
        going_too = "WHERE first <= ? AND first > ? ORDER BY first"
        rows = (
            (record.seq, record.msg_id, digest(record.topic, record.body))
            for going in block.read(self._db, going_too, upto, after - block.MESSAGES)
            if going.intact
            for record in going.records()
            if record.msg_id is not None and record.seq > after
        )
        self._db.executemany("INSERT OR REPLACE INTO name VALUES (?, ?, ?)", rows)

    def _give_back(self) -> int:
        """Give some free pages back to the disk, and keep a few for the next messages; return their number."""
        free = self._database.number("PRAGMA freelist_count")
        if free <= SPARE_PAGES:
            return 0
        # Not with execute(), which takes only one step of it: that is one page.
        self._db.executescript(f"PRAGMA incremental_vacuum({SPARE_PAGES})")
        return min(free - SPARE_PAGES, SPARE_PAGES)
