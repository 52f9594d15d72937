"""Opens the relay's journal for the web process: each time for one look, which is bounded in time."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import schema
from fedmsg_relay.web import limits
from fedmsg_relay.web.gate import Gate
from fedmsg_relay.web.history import History

_STEPS = 10_000
"""Steps of SQLite between two looks at the clock."""


class Source:
    """Where the journal is.

    Args:
        path: of ``journal.db``.

    Attributes:
        path: of ``journal.db``.
        gate: that all readers go through.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gate = Gate(path)

    @contextlib.contextmanager
    def opened(self) -> Iterator[History]:
        """Open the journal for one look, which is bounded in time.

        It is opened for each look, as the relay may put another file in its place at any time.

        Raises:
            JournalError: it is not there, cannot be read, or the look takes too long.
        """
        ends = time.monotonic() + limits.READ_SECONDS
        try:
            db = schema.open_to_look(self.path)
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: {error}") from error
        except OSError as error:  # its directory cannot be looked into
            raise JournalError(f"journal {self.path}: {error.strerror or error}") from error
        try:
            db.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            yield History(db, self.gate)
        except sqlite3.Error as error:
            if time.monotonic() > ends:
                raise JournalError(f"a look into the journal took more than {limits.READ_SECONDS:g} s") from error
            raise JournalError(f"journal {self.path}: {error}") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise JournalError(f"journal {self.path}: holds data that no relay has written: {error}") from error
        finally:
            db.close()
