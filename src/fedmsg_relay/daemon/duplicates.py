"""Finds duplicates: messages that the journal, or the turn, has already."""

from __future__ import annotations

from fedmsg_relay import tcp
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.window import NAMESAKES, fingerprint
from fedmsg_relay.runtime.drops import DropLog


class Duplicates:
    """Takes messages into a turn, each once.

    Args:
        guard: of the journal, whose dedup window tells duplicates.
    """

    def __init__(self, guard: JournalGuard) -> None:
        self._guard = guard
        self._renamed = DropLog("took %d %s whose %s another message has (last from %s)")

    def take(self, entry: Entry, address: str, turn: Turn) -> int:
        """Take a message, unless it is a duplicate.

        Args:
            entry: the message.
            address: where it is from.
            turn: takes it.

        Returns:
            The ``seq`` that it will have, or that the same message has already.
        """
        return self._find(entry, address, turn) or turn.add(entry, fingerprint(entry.topic, entry.body))

    def take_published(self, entry: Entry, address: str, turn: Turn) -> bool:
        """Do the same for a message that gets no receipt, and count a duplicate here.

        Args:
            entry: the message.
            address: where it is from.
            turn: takes it.

        Returns:
            Whether it was taken.
        """
        before = len(turn.entries)
        self.take(entry, address, turn)
        is_new = len(turn.entries) > before
        turn.counts.duplicates += not is_new
        return is_new

    def report(self, everything: bool = False) -> None:
        """Log which names were used again.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._renamed.report(everything)

    def _find(self, entry: Entry, address: str, turn: Turn) -> int | None:
        """Find the ``seq`` of the same message, if it is in the dedup window or in this turn already."""
        if entry.msg_id is None:
            return None
        namesakes = (*self._guard.window.find(entry.msg_id), *turn.known.get(entry.msg_id, ()))[-NAMESAKES:]
        for seq, seen in reversed(namesakes):
            if turn.is_same(seq, entry) if seq > turn.base else self._guard.is_same(seq, seen, entry):
                return seq
        if namesakes:
            turn.renamed += 1
            self._renamed.note("msg_id", tcp.host_of(address))
        return None
