"""Decides what counts as a duplicate: a message that the dedup window, or the turn, has already.

It has the same ``msg_id``, topic and body (:mod:`fedmsg_relay.journal.window`). Where signatures are enforced, the same
signed content is enough (:mod:`fedmsg_relay.trust.content`).
"""

from __future__ import annotations

from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.window import fingerprint, remembered
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.trust.content import says_the_same


class Duplicates:
    """Takes messages into a turn, each once.

    Args:
        guard: of the journal, whose dedup window tells duplicates.
    """

    def __init__(self, guard: JournalGuard) -> None:
        self._guard = guard
        self._renamed = DropLog("took %d %s whose %s another message has (last from %s)")

    def take(self, entry: Entry, source: str, turn: Turn, comes_once: bool) -> int:
        """Take a message, unless it is a duplicate.

        Args:
            entry: the message.
            source: the IP address that it is from.
            turn: takes it.
            comes_once: whether it is a duplicate also of a message that says the same in other bytes.

        Returns:
            The ``seq`` that it will have, or that the same message has already.
        """
        seq = self._find(entry, source, turn, comes_once)
        return seq or turn.add(entry, fingerprint(entry.topic, entry.body))

    def take_published(self, entry: Entry, source: str, turn: Turn) -> bool:
        """Do the same for a message that comes once and gets no receipt, and count a duplicate here.

        Args:
            entry: the message.
            source: the IP address that it is from.
            turn: takes it.

        Returns:
            Whether it was taken.
        """
        before = len(turn.entries)
        self.take(entry, source, turn, comes_once=True)
        is_new = len(turn.entries) > before
        turn.counts.duplicates += not is_new
        return is_new

    def report(self, everything: bool = False) -> None:
        """Log which names were used again.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._renamed.report(everything)

    def _find(self, entry: Entry, source: str, turn: Turn, comes_once: bool) -> int | None:
        """Find the ``seq`` of the same message, if it is in the dedup window or in this turn already."""
        if entry.msg_id is None:
            return None
        namesakes = remembered((*self._guard.window.find(entry.msg_id), *turn.known.get(entry.msg_id, ())))
        for seq, seen in reversed(namesakes):
            if turn.is_same(seq, entry) if seq > turn.base else self._guard.is_same(seq, seen, entry):
                return seq
        for seq, _ in reversed(namesakes) if comes_once else ():
            other = turn.entry(seq) if seq > turn.base else self._guard.read(seq)
            if other is not None and other.topic == entry.topic and says_the_same(entry.body, other.body):
                return seq
        if namesakes:
            turn.renamed += 1
            self._renamed.note("msg_id", source)
        return None
