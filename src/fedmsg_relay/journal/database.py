"""The journal's database, open for writing: its transactions, and what SQLite's errors mean for the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedmsg_relay.errors import JournalCorruptError, JournalError, RelayError
from fedmsg_relay.journal import broken, schema
from fedmsg_relay.journal.transaction import transaction


class Database:
    """The SQLite database of a journal. Every commit is on disk when it returns (``synchronous=FULL``).

    Args:
        path: of ``journal.db``; made when it is not there.

    Attributes:
        connection: SQLite's.

    Raises:
        JournalCorruptError: the file is not a journal any more.
        JournalError: it cannot be opened: full or read-only disk, no permission.
        ConfigError: a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.named_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = schema.open_for_writing(path)
            try:
                self.connection.execute("PRAGMA synchronous = FULL")
                self._page_size = self.number("PRAGMA page_size")
            except BaseException:
                self.connection.close()
                raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that is done within, or nothing of it.

        Raises:
            JournalError: it cannot be written.
        """
        with self.named_errors(), transaction(self.connection):
            yield

    @contextmanager
    def named_errors(self, reading: bool = False) -> Iterator[None]:
        """Make JournalErrors, which name the journal, of SQLite's errors; tell a bad disk from a bad file.

        Args:
            reading: whether messages are only read. A message that is too large is then not as it was written.

        Raises:
            JournalCorruptError: the file is not a journal any more.
            JournalError: it cannot be read or written now.
        """
        try:
            yield
        except RelayError:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise JournalCorruptError(f"journal {self._path}: holds data that no relay has written: {error}") from error
        except MemoryError as error:  # SQLite raises it too
            raise JournalError(f"journal {self._path}: out of memory") from error
        except (sqlite3.Error, OSError) as error:
            for_good = broken.is_broken(error) or (reading and broken.is_too_big(error))
            raise (JournalCorruptError if for_good else JournalError)(f"journal {self._path}: {error}") from error

    @contextmanager
    def without_sync(self) -> Iterator[None]:
        """Write without waiting for the disk: a power cut may undo it, a kill does not."""
        self.connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self.connection.execute("PRAGMA synchronous = FULL")

    def number(self, query: str, *parameters: object) -> int:
        """Ask for one number.

        Args:
            query: with one row of one column.
            parameters: for its placeholders.
        """
        return int(self.connection.execute(query, parameters).fetchone()[0])

    def size(self) -> int:
        """Get the bytes of the pages that are in use."""
        return (self.number("PRAGMA page_count") - self.number("PRAGMA freelist_count")) * self._page_size

    def close(self) -> None:
        """Close the database, with the WAL written back into it."""
        self.connection.close()
