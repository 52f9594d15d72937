"""Messages that were set aside, and are sent again as somebody has asked for it: one after the other."""

from __future__ import annotations

import sqlite3
import time

from fedmsg_relay.bridge.ledger import Ledger
from fedmsg_relay.bridge.mapping import Outgoing, Reason, outgoing
from fedmsg_relay.bridge.reading import Reader
from fedmsg_relay.bridge.window import Item, State
from fedmsg_relay.runtime.log import log

LOOK_SECONDS = 1.0
"""Interval at which it is looked whether somebody has asked."""


def ask(ledger: Ledger) -> int:
    """Ask for all messages that the broker refused and that are remembered.

    Args:
        ledger: of the bridge.

    Returns:
        How many are to be sent again.

    Raises:
        LedgerError: it cannot be written.
    """
    with ledger.transaction() as db:
        query = "INSERT OR IGNORE INTO retry SELECT seq FROM aside WHERE reason = ?"
        db.execute(query, (Reason.REFUSED_BY_BROKER,))
        (count,) = db.execute("SELECT count(*) FROM retry").fetchone()
    return int(count)


class Retrying:
    """Finds the next message that is sent again, and remembers what became of it.

    Args:
        reader: reads the journal.
        ledger: knows what was asked for.
        relay: identity of the relay.
    """

    def __init__(self, reader: Reader, ledger: Ledger, relay: str) -> None:
        self._reader = reader
        self._ledger = ledger
        self._relay = relay
        self._in_hand: int | None = None
        self._done: list[tuple[int, bool]] = []
        self._look_at = 0.0

    @property
    def news(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._done)

    def take(self) -> Item | None:
        """Get the next message; None if there is none, or the previous one is not done with.

        Raises:
            JournalError: the journal cannot be read.
            LedgerError: the ledger cannot be read.
        """
        if self._in_hand is not None or time.monotonic() < self._look_at:
            return None
        found = self._ledger.next_retry()
        if found is None:
            self._look_at = time.monotonic() + LOOK_SECONDS
            return None
        seq, journaled = found
        records = self._reader.messages_after(seq - 1, 1)
        self._in_hand = seq
        for record in records:
            message = outgoing(record, self._relay)
            if (record.seq, record.time) == (seq, journaled) and isinstance(message, Outgoing):
                return Item(seq, seq, State.WAITING, record.time, message, again=True)
        log.error("forward: message %d cannot be sent again: the journal no longer has it", seq)
        self._done.append((seq, False))
        return None

    def note(self, item: Item) -> None:
        """Note what became of a message."""
        self._done.append((item.first, item.state is State.CONFIRMED))

    def write(self, db: sqlite3.Connection) -> None:
        """Write what became of messages, within a transaction."""
        db.executemany("DELETE FROM retry WHERE seq = ?", [(seq,) for seq, _ in self._done])
        db.executemany("DELETE FROM aside WHERE seq = ?", [(seq,) for seq, sent in self._done if sent])

    def written(self) -> None:
        """Go on with the next message: what was written is on disk."""
        if self._done:
            self._done, self._in_hand = [], None

    def forget(self) -> None:
        """Begin anew, as the window has."""
        self._done, self._in_hand = [], None
