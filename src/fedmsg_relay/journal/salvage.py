"""What can still be read of a journal that was set aside, for :meth:`fedmsg_relay.journal.store.Journal.carry_over`."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from fedmsg_relay.journal import schema
from fedmsg_relay.journal.position import Position, seal_listeners
from fedmsg_relay.journal.records import Record, lenient_text, read_records

UNREADABLE = (sqlite3.Error, ValueError, TypeError, OverflowError)
"""What reading raises where the file does not hold what was written."""


def set_aside(path: Path) -> Path:
    """Rename a journal, with all its files, out of the way of a new one.

    Args:
        path: of ``journal.db``.

    Returns:
        Where it is now: beside, as ``journal.db.corrupt-TIME``.

    Raises:
        OSError: it can not be renamed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside


class Remains:
    """A journal that was set aside. It is only read.

    Args:
        path: where it is now.
    """

    def __init__(self, path: Path) -> None:
        # Somebody may have removed it.
        self._db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro" if path.exists() else ":memory:", uri=True)
        self._db.text_factory = lenient_text
        self._position: Position | None = None
        with contextlib.suppress(*UNREADABLE):
            self._position = schema.find_position(self._db)

    def published(self) -> int | None:
        """``seq`` of the last message that was noted as published; None where that can not be told any more."""
        return self._position.published if self._position else None

    def last(self) -> int | None:
        """``seq`` of the last message, 0 where there is none; None where that can not be told."""
        if self._position:
            return self._position.last
        with contextlib.suppress(*UNREADABLE):
            row = self._db.execute("SELECT coalesce(max(seq), 0) FROM message").fetchone()
            return row[0] if isinstance(row[0], int) else None
        return None

    def listeners(self) -> list[str] | None:
        """IP addresses of the listeners that were connected last; None where they can not be told any more."""
        with contextlib.suppress(*UNREADABLE):
            found = [str(address) for (address,) in self._db.execute("SELECT address FROM listener")]
            if self._position and self._position.listeners == seal_listeners(found):
                return found
        return None

    def messages(self, after: int, last: int | None) -> Iterator[Record]:
        """Read what can be read, from both ends: what cannot is mostly a page or two in between.

        Args:
            after: ``seq`` after which to begin.
            last: ``seq`` of the last one; None where that can not be told.

        Yields:
            Each message once, in no order.
        """
        last = sys.maxsize if last is None else last
        for direction in ("", "DESC"):
            with contextlib.suppress(*UNREADABLE):
                for record in read_records(
                    self._db, f"WHERE seq > ? AND seq <= ? ORDER BY seq {direction}", after, last
                ):
                    if record.intact and after < record.seq <= last:
                        if not direction:
                            after = record.seq
                        yield record

    def close(self) -> None:
        """Close the file."""
        self._db.close()
