"""Admission: reads what came at inbound and submit, and decides message by message what goes into the journal.

A message is looked at in this order: is it well-formed, may its source send anything
(:mod:`fedmsg_relay.daemon.sources`), may its signature be trusted and its signer send this topic
(:mod:`fedmsg_relay.daemon.screening`), does the journal have it already? A message that fails goes into the quarantine,
or has its batch refused. A submitted message that the journal has already is a duplicate. A message from inbound is one
only where signatures are enforced and its signer is proven: then it is a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fedmsg_relay import message, submit, tcp
from fedmsg_relay.body import find_msg_id
from fedmsg_relay.daemon.backlog import Batch
from fedmsg_relay.daemon.duplicates import Duplicates
from fedmsg_relay.daemon.refusals import Refusals
from fedmsg_relay.daemon.rejections import Rejection, Rejections
from fedmsg_relay.daemon.requests import Requests
from fedmsg_relay.daemon.screening import Ruling, Screening
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.daemon.sources import Sources
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.daemon.turn import DueReceipt, Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.message import Reason
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.network.zmtp import Message, Oversize
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log
from fedmsg_relay.trust import reasons as trust

FAULT_RETRY_AFTER = 2.0
"""Seconds after which a submitter shall try again when the journal cannot be written, or CA or CRL cannot be used."""

_new = tuple.__new__
"""Makes an entry in half the time of a call of its class."""


class Look(NamedTuple):
    """The result of the look at a message.

    Attributes:
        reason: why it is not taken, or None.
        msg_id: of its envelope, where it has one.
        ruling: about its signature, where that was looked at.
    """

    reason: Reason | trust.Reason | None
    msg_id: str | None = None
    ruling: Ruling | None = None


class Admission:
    """Takes messages from inbound and submit into a turn.

    Args:
        inbound: where publishers are connected.
        submits: where submitters are connected.
        guard: of the journal; its dedup window tells duplicates.
        stage: after the journal; it answers inquiries of chained relays.
        screening: of signatures.

    Attributes:
        sources: judges peers by their IP addresses.
    """

    def __init__(
        self, inbound: Receiver, submits: Receiver, guard: JournalGuard, stage: Stage, screening: Screening
    ) -> None:
        self._inbound = inbound
        self._screening = screening
        self.sources = Sources()
        self._requests = Requests(submits, stage, self.sources)
        self._rejections = Rejections(screening)
        self._refusals = Refusals(self._rejections, self.sources)
        self._duplicates = Duplicates(guard)

    @property
    def turned_back(self) -> int:
        """Number of submitted batches whose submitters were told to try again, as too many batches wait."""
        return self._requests.backlog.turned_back

    @property
    def has_more(self) -> bool:
        """Whether something has come that no turn has taken yet."""
        return self._inbound.has_more or self._requests.has_more

    def fill(self, turn: Turn, settings: Settings) -> None:
        """Receive and admit one turn's share of messages.

        Args:
            turn: takes them.
            settings: the daemon's own settings.
        """
        max_size = settings.limits.max_message_size
        self.sources.use(settings)
        self._screening.update()
        self._take_published(turn, max_size)
        turn.from_inbound = len(turn.entries)
        self._take_submitted(turn, max_size)

    def report(self, everything: bool = False) -> None:
        """Log what was not taken.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._rejections.report(everything)
        self._duplicates.report(everything)
        self._requests.backlog.report(everything)
        self.sources.report(everything)
        self._screening.report(everything)

    def look(self, topic: bytes, body: bytes, max_size: int, outside: bool = False) -> Look:
        """Look at a message, wherever it is from.

        Args:
            topic: the first frame.
            body: the second frame.
            max_size: maximum bytes of both.
            outside: whether its source may not send anything.

        Raises:
            MemoryError: there is not enough memory to look at it.
        """
        reason: Reason | trust.Reason | None
        reason, msg_id = message.examine(topic, body, max_size, find_msg_id)
        if reason is None and outside:
            reason = trust.Reason.SOURCE_NOT_ALLOWED
        if reason is not None or (ruling := self._screening.rule(topic, body)) is None:
            return Look(reason, msg_id)
        return Look(ruling.reason, msg_id, ruling)

    # Inbound.

    def _take_published(self, turn: Turn, max_size: int) -> None:
        for peer, messages in self._inbound.receive(max_size, 2, limits.cut_bytes(max_size)):
            turn.counts.received += len(messages)
            turn.at_inbound += len(messages)
            self.sources.note_published(peer, len(messages))
            if self._screening.is_on or not self.sources.may_publish(peer):
                for frames in messages:
                    self._take_one(frames, peer, turn, max_size)
            else:
                self._take_by_form(messages, peer, turn, max_size)

    def _take_by_form(self, messages: Sequence[Message], peer: Peer, turn: Turn, max_size: int) -> None:
        """Take messages of which the form alone is looked at: this way most messages come, and it is short."""
        examine, taken, size = message.examine, list[Entry](), 0
        for frames in messages:
            if isinstance(frames, list) and len(frames) == 2:
                topic, body = frames
                try:
                    reason, msg_id = examine(topic, body, max_size, find_msg_id)
                except MemoryError:
                    reason = Reason.TOO_LARGE
                if reason is None:
                    size += len(topic) + len(body)
                    taken.append(_new(Entry, (topic, body, msg_id)))
                    continue
            turn.add_all(taken)
            taken = []
            self._take_one(frames, peer, turn, max_size)
        turn.add_all(taken)
        turn.size += size

    def _take_one(self, frames: Message, peer: Peer, turn: Turn, max_size: int) -> None:
        """Take a message, or put it into the quarantine."""
        source = tcp.host_of(peer.address)
        if isinstance(frames, Oversize) or len(frames) != 2:
            self._rejections.note_unreadable(turn, frames, source)
            return
        topic, body = frames
        try:
            outside = not self.sources.may_publish(peer) and topic != self._screening.probe
            reason, msg_id, ruling = self.look(topic, body, max_size, outside)
        except MemoryError:  # a message that cannot be checked reaches no listener
            log.error("not enough memory to check a message of %d bytes: it is dropped", len(body))
            reason, msg_id, ruling = Look(Reason.TOO_LARGE)
        turn.size += len(topic) + len(body)
        if reason is None:
            self.take(Entry(topic, body, msg_id), ruling, source, turn)
            return
        turn.counts.quarantined += 1
        if reason is trust.Reason.SOURCE_NOT_ALLOWED:
            self.sources.inbound_refused.add(peer.ip, 1)
        self._rejections.note(turn, Rejection(reason, source, topic, body, ruling))

    def take(self, entry: Entry, ruling: Ruling | None, source: str, turn: Turn) -> bool:
        """Take a message from inbound, now or after it was in the quarantine, that passed the look at it.

        Args:
            entry: the message.
            ruling: about its signature, where that was looked at.
            source: the IP address that it is from.
            turn: takes it.

        Returns:
            Whether it was taken; if not, it is a duplicate.
        """
        if ruling is None or not ruling.comes_once:
            turn.add(entry)
        elif not self._duplicates.take_published(entry, source, turn):
            return False
        if ruling is not None:
            self._screening.note(ruling, source)
        return True

    # Submit.

    def _take_submitted(self, turn: Turn, max_size: int) -> None:
        for malformed, reply_to in self._requests.receive(turn, max_size):
            self._refusals.refuse_request(malformed, reply_to, turn)
        backlog = self._requests.backlog
        # Submit has a share of its own: it is answered however much comes at inbound.
        left, heavy = limits.TURN_MESSAGES, turn.size + limits.TURN_BYTES
        while backlog and left > 0 and turn.size < heavy:
            batch = backlog.take()
            left -= len(batch.messages)
            before = len(turn.entries)
            try:
                self._admit(batch, turn, max_size)
            except MemoryError:
                turn.forget_from(before)
                log.error("not enough memory to check a batch of %d bytes: submit answers busy", batch.size)
                turn.answers.append((batch.reply_to, submit.Busy(FAULT_RETRY_AFTER).encode()))

    def _admit(self, batch: Batch, turn: Turn, max_size: int) -> None:
        """Admit a submitted batch as a whole or not at all."""
        peer, source = batch.reply_to.peer, tcp.host_of(batch.reply_to.peer.address)
        outside = not self.sources.may_submit(peer)
        passed: list[tuple[Entry, Ruling | None]] = []
        for topic, body in batch.messages:
            turn.size += len(topic) + len(body)
            reason, msg_id, ruling = self.look(topic, body, max_size, outside)
            if reason is trust.Reason.TRUST_UNUSABLE:
                # The relay is at fault, so nothing is refused.
                turn.answers.append((batch.reply_to, submit.Busy(FAULT_RETRY_AFTER).encode()))
                return
            if reason is not None:
                rejection = Rejection(reason, source, topic, body, ruling)
                self._refusals.refuse_batch(batch, turn, rejection, len(passed) + 1)
                return
            passed.append((Entry(topic, body, msg_id), ruling))
        previous = len(turn.entries)
        seqs = [
            self._duplicates.take(entry, source, turn, comes_once=ruling is not None and ruling.comes_once)
            for entry, ruling in passed
        ]
        duplicates = len(passed) - (len(turn.entries) - previous)
        turn.receipts.append(DueReceipt(batch.reply_to, min(seqs), max(seqs), len(seqs), duplicates))
        turn.counts.received += len(batch.messages)
        for _, ruling in passed:
            if ruling is not None:
                self._screening.note(ruling, source)
