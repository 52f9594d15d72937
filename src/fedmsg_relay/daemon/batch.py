"""What one turn of the pipeline took in, as it goes through the stages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from fedmsg_relay.daemon.accounting import Counts
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.window import NAMESAKES, Sighting
from fedmsg_relay.network.greeter import Peer


class Back(NamedTuple):
    """The way back to who submitted a batch.

    Attributes:
        peer: whose connection it came over.
        route: the frames that the reply begins with.
    """

    peer: Peer
    route: list[bytes]


class Submitted(NamedTuple):
    """A submitted batch whose answer is due."""

    back: Back
    first: int
    last: int
    messages: int
    duplicates: int


@dataclass
class Batch:
    """Messages of all ways in, in the order in which they were received.

    Attributes:
        base: last ``seq`` of the journal before it.
        entries: messages to be journaled.
        known: where those of the entries will be whose ``msg_id`` a retry is known by.
        renamed: how many submitted messages have the ``msg_id`` of another message.
        from_inbound: how many of the entries, the first ones, came at inbound.
        submitted: what gets a receipt once the batch is on disk.
        refusals: what gets another answer: the way back and the answer.
        rejected: for the quarantine.
        dropped: messages quarantined or refused, by reason.
        counts: for the accounting.
        size: bytes of all of it.
    """

    base: int
    entries: list[Entry] = field(default_factory=list)
    known: dict[str, tuple[Sighting, ...]] = field(default_factory=dict)
    from_inbound: int = 0
    submitted: list[Submitted] = field(default_factory=list)
    refusals: list[tuple[Back, bytes]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
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
            The ``seq`` it will have.
        """
        self.entries.append(entry)
        seq = self.base + len(self.entries)
        name = entry.msg_id
        if name is not None:
            before = self.known.get(name)
            self.known[name] = (*before[1 - NAMESAKES :], (seq, fingerprint)) if before else ((seq, fingerprint),)
        return seq

    def holds(self, seq: int, entry: Entry) -> bool:
        """Tell whether the message of that number in it is this one, byte for byte."""
        return self.entries[seq - self.base - 1] == entry
