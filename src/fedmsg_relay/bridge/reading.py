"""Reads the journal for the bridge: no other module here knows what a journal looks like."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import position, reading, schema
from fedmsg_relay.journal.records import Record

PORTION_BYTES = 4 * 1024 * 1024
"""Bytes of messages that are read at once; a larger message comes alone."""


class Ends(NamedTuple):
    """Where a journal begins and ends.

    Attributes:
        first: ``seq`` of its oldest message; one more than ``last`` if there is none.
        last: ``seq`` of its last message, also if retention has removed that.
    """

    first: int
    last: int


class Reader:
    """A journal, open for reading. The relay may put another file in its place at any time. Used by one thread.

    Args:
        path: of ``journal.db``.

    Attributes:
        file: device and inode of the file that is open; None before the first one.
    """

    def __init__(self, path: Path) -> None:
        self.file: tuple[int, int] | None = None
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._version = -1

    def changed(self) -> bool:
        """Tell whether anything was written since the last call that said so.

        Raises:
            JournalError: it cannot be read.
        """
        with _named_errors(self._path):
            (version,) = self._opened().execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return False
        self._version = version
        return True

    def forget(self) -> None:
        """Let the next :meth:`changed` say yes: the reader begins at another message than before."""
        self._version = -1

    def messages_after(self, seq: int, limit: int) -> list[Record]:
        """Read the next messages, oldest first, damaged ones as well, as far as they can be told apart.

        Args:
            seq: the one before the first.
            limit: maximum number.

        Raises:
            JournalError: it cannot be read.
        """
        found: list[Record] = []
        size = 0
        with _named_errors(self._path):
            for page in reading.pages(self._opened(), seq):
                for record in page:
                    size += record.size
                    if found and (len(found) == limit or size > PORTION_BYTES):
                        return found
                    found.append(record)
        return found

    def ends(self) -> Ends:
        """Find where it begins and ends.

        Raises:
            JournalError: it cannot be read.
        """
        with _named_errors(self._path):
            db = self._opened()
            last = schema.find_position(db).last
            first, _ = position.ends(db)
        return Ends(first if first is not None else last + 1, last)

    def close(self) -> None:
        """Close it."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _opened(self) -> sqlite3.Connection:
        found = os.stat(self._path)  # noqa: PTH116 -- fifty times a second
        file = (found.st_dev, found.st_ino)
        if self._db is None or file != self.file:
            self.close()
            self._db, self.file, self._version = schema.open_for_reading(self._path), file, -1
        return self._db


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Make a JournalError of each error of SQLite's or the system's."""
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}") from error
    except OSError as error:
        raise JournalError(f"journal {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise JournalError(f"journal {path}: holds data that no relay has written: {error}") from error
