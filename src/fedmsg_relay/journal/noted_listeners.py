"""The listeners that the journal notes: they were connected last, and the next start can wait for them."""

from __future__ import annotations

from collections.abc import Sequence

from fedmsg_relay.journal import position
from fedmsg_relay.journal.database import Database

UNKNOWN = "?"
"""Stands for listeners whose addresses are not known."""


class NotedListeners:
    """The addresses of listeners in a journal, one entry for each connection.

    Args:
        database: of the journal.

    Attributes:
        seal: checksum of the addresses, which the journal notes beside ``published``.
        complete: whether the addresses of all listeners are known.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seal = position.seal_listeners(self._read())
        self.complete = True

    def compare(self, noted: int | None) -> None:
        """Find out whether the addresses are the same as were written.

        Args:
            noted: the checksum beside ``published``; None where it is damaged.
        """
        self.complete = self.seal == noted

    def take_over(self, seal: int, complete: bool) -> None:
        """Know the listeners that were carried over from a journal that was set aside.

        Args:
            seal: checksum of their addresses.
            complete: whether all of the addresses could be read.
        """
        self.seal, self.complete = seal, complete

    def replace(self, addresses: Sequence[str], published: int) -> None:
        """Note other listeners.

        Args:
            addresses: IP addresses, one for each connection.
            published: ``seq`` of the last published message, which stands in the same row as the checksum.

        Raises:
            JournalError: they could not be written.
        """
        seal = position.seal_listeners(addresses)
        db = self._database.connection
        with self._database.without_sync(), self._database.transaction():
            db.execute("DELETE FROM listener")
            db.executemany("INSERT INTO listener VALUES (?)", [(address,) for address in addresses])
            position.note_published(db, published, seal)
        self.seal = seal

    def addresses(self) -> list[str]:
        """Read the addresses; ``UNKNOWN``, which no listener has, is one of them where not all are known."""
        return self._read() + ([] if self.complete else [UNKNOWN])

    def _read(self) -> list[str]:
        return [str(address) for (address,) in self._database.connection.execute("SELECT address FROM listener")]
