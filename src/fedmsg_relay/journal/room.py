"""The room on the journal's disk, and how the journal gets by with little of it.

SQLite writes everything twice: into the WAL, and from there into the database once the WAL has 16 MB. On a disk with
less room the WAL alone would fill it. Then it could not be written back either, so it would never get smaller: the
journal would be stuck until somebody removes a file. So:

- Where room is short, the WAL is written back early and kept small.
- Messages are written only if there is room for them twice, and a reserve. So the WAL can always be written back.
- If SQLite cannot write all the same, nothing is left behind in the WAL.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

SHORT = 256 * 1024 * 1024
"""Free bytes of the disk below which room is short, and the WAL is kept small."""

RESERVE = 512 * 1024
"""Bytes that stay free: for the WAL to be written back, and for a step of retention, which needs room itself."""

PAGE_WASTE = 2
"""Pages that a message may take for each page of its bytes: one above half a page has a page to itself."""

WAL_BYTES = 64 * 1024 * 1024
SMALL_WAL_BYTES = 256 * 1024
"""Maximum bytes that the WAL keeps after a reader had held it up: normally, and where room is short."""

WAL_PAGES = 1000
SMALL_WAL_PAGES = 16
"""Pages in the WAL after which it is written back: normally, and where room is short."""

WANTED_SHARE = 4
WANTED_BYTES = 64 * 1024 * 1024
"""Where the journal takes more than half of its disk, retention keeps room free: one part in ``WANTED_SHARE`` of the
disk, or ``WANTED_BYTES`` if they are less."""


class Room:
    """Keeps the journal within the room of its disk.

    Args:
        path: of the journal.
        db: the journal, open for writing.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._directory = str(path.parent)
        self._wal = Path(f"{path}-wal")
        self._db = db
        self._page_size = int(db.execute("PRAGMA page_size").fetchone()[0])
        self._short: bool | None = None
        self._free()

    def require(self, size: int) -> None:
        """Make sure that messages can be written, and written back.

        Args:
            size: their bytes.

        Raises:
            OSError: there is no room for them.
        """
        if self._has_room(size):
            return
        self.write_back()
        if not self._has_room(size):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def lacking(self, used: int) -> int:
        """Get the bytes that retention has to remove, as the disk is short of room.

        Args:
            used: bytes of the journal that hold something.
        """
        disk = os.statvfs(self._directory)
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        if used <= total // 2:
            return 0  # other programs fill the disk
        return min(WANTED_BYTES, total // WANTED_SHARE) - free - self._unused()

    @property
    def short(self) -> bool:
        """Whether room was short when last looked."""
        return bool(self._short)

    def write_back(self) -> None:
        """Write the WAL back and give its room to the disk, as far as this can be done at once."""
        timeout = self._db.execute("PRAGMA busy_timeout").fetchone()[0]
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA busy_timeout = 0")  # a reader may hold it for long
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._db.execute(f"PRAGMA busy_timeout = {timeout}")

    def _free(self) -> int:
        """Get the free bytes of the disk, and fit the WAL to them."""
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if (free < SHORT) != self._short:
            self._short = free < SHORT
            self._db.execute(f"PRAGMA wal_autocheckpoint = {SMALL_WAL_PAGES if self._short else WAL_PAGES}")
            self._db.execute(f"PRAGMA journal_size_limit = {SMALL_WAL_BYTES if self._short else WAL_BYTES}")
            if self._short:
                self.write_back()
        return free

    def _has_room(self, size: int) -> bool:
        free, once = self._free(), PAGE_WASTE * size
        if free >= RESERVE + 2 * once:
            return True
        # Room that the files have already is written over.
        return free >= RESERVE + max(0, once - self._wal_size()) + max(0, once - self._unused())

    def _wal_size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _unused(self) -> int:
        """Get the bytes of the database that hold nothing."""
        return int(self._db.execute("PRAGMA freelist_count").fetchone()[0]) * self._page_size
