"""The messages and answers of one turn of the pipeline, on their way through the stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import NamedTuple

from fedmsg_relay.daemon.accounting import Counts
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.window import Sighting, remembered
from fedmsg_relay.network.peer import Peer


class ReturnPath(NamedTuple):
    """Where the reply to a request goes.

    Attributes:
        peer: the submitter whose connection the request came over.
        route: frames that the reply begins with.
    """

    peer: Peer
    route: list[bytes]


class DueReceipt(NamedTuple):
    """The receipt of a submitted batch, due once the turn is on disk.

    Attributes:
        to: where the receipt goes.
        first: lowest ``seq`` that a message of the batch has.
        last: highest ``seq`` that a message of the batch has.
        messages: number of messages in the batch.
        duplicates: number of them that the journal had already.
    """

    to: ReturnPath
    first: int
    last: int
    messages: int
    duplicates: int


@dataclass
class Turn:
    """Messages from inbound and submit, in the order in which they were received.

    Attributes:
        base: ``seq`` of the last message in the journal before this turn.
        entries: messages to be journaled.
        known: where the entries will be, by their ``msg_id``: for the dedup window.
        renamed: number of messages that have the ``msg_id`` of another message.
        at_inbound: number of messages that came at inbound.
        from_inbound: number of entries that came at inbound; they are the first ones.
        receipts: due once the turn is on disk.
        answers: all other replies, and where they go.
        rejected: messages for the quarantine.
        released: ids of messages that leave the quarantine.
        dropped: number of messages quarantined or refused, by reason.
        counts: for the accounting.
        size: bytes of all messages.
    """

    base: int
    entries: list[Entry] = field(default_factory=list)
    known: dict[str, tuple[Sighting, ...]] = field(default_factory=dict)
    at_inbound: int = 0
    from_inbound: int = 0
    receipts: list[DueReceipt] = field(default_factory=list)
    answers: list[tuple[ReturnPath, bytes]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    counts: Counts = field(default_factory=Counts)
    size: int = 0
    renamed: int = 0

    def add(self, entry: Entry, fingerprint: int | None = None) -> int:
        """Take in a message.

        Args:
            entry: the message.
            fingerprint: of its bytes, where a retry of it is likely.

        Returns:
            The ``seq`` that the message will have.
        """
        self.entries.append(entry)
        seq, name, known = self.base + len(self.entries), entry.msg_id, self.known
        if name is not None:
            known[name] = remembered((*known.get(name, ()), (seq, fingerprint)))
        return seq

    def add_all(self, entries: Sequence[Entry], fingerprint: int | None = None) -> None:
        """Take in messages.

        Args:
            entries: the messages.
            fingerprint: of their bytes, where there is one, and a retry of it is likely.
        """
        known = self.known
        names = [name for _, _, name in entries if name is not None]
        sightings = zip(zip(count(self.base + len(self.entries) + 1), repeat(fingerprint), strict=False), strict=True)
        new = dict(zip(names, sightings, strict=False))
        if len(new) == len(entries) and known.keys().isdisjoint(new):
            known.update(new)  # most messages have a name, and one of their own
            self.entries += entries
            return
        for entry in entries:
            self.add(entry, fingerprint)

    def forget_from(self, number: int) -> None:
        """Forget entries that were taken in last, and where they will be.

        Args:
            number: of the first of these entries, counted from 0.
        """
        del self.entries[number:]
        last = self.base + number
        known = ((name, tuple(seen for seen in sightings if seen[0] <= last)) for name, sightings in self.known.items())
        self.known = {name: sightings for name, sightings in known if sightings}

    def is_same(self, seq: int, entry: Entry) -> bool:
        """Tell whether a message of this turn is the same as another one, byte for byte.

        Args:
            seq: of the message of this turn.
            entry: the other message.
        """
        return self.entry(seq) == entry

    def entry(self, seq: int) -> Entry:
        """Get a message of this turn.

        Args:
            seq: that it will have.
        """
        return self.entries[seq - self.base - 1]
