"""The pipeline: every message, whichever way it came, goes through these stages, in batches, in this order:

    receive -> admit -> journal -> publish -> receipt

Invariants:

1. What is published is exactly what was received: the same two frames, never re-encoded.
2. Nothing is published that is not in the journal, and no receipt is given before the batch is on disk. (Where the
   journal can not be written, submit answers busy, and inbound is forwarded without it, loudly.)
3. Every message received is journaled, quarantined, refused or a duplicate, and counted as one of these.
4. Messages are published in the order of their ``seq``, so those of one publisher in the order in which they came.
"""

from __future__ import annotations

import socket
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from fedmsg_relay import message, submit, tcp
from fedmsg_relay.body import find_msg_id
from fedmsg_relay.daemon.accounting import Accounting, Counts
from fedmsg_relay.daemon.backlog import RETRY_AFTER, Backlog, Request
from fedmsg_relay.daemon.batch import Back, Batch, Submitted
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.window import NAMESAKES, fingerprint
from fedmsg_relay.message import Reason
from fedmsg_relay.network.greeter import Peer
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.network.zmtp import Message, Oversize
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.runtime.log import log

FAULT_RETRY_AFTER = 2.0
"""Seconds after which a submitter shall try again when the journal can not be written."""


_OVERLOADED = submit.busy(RETRY_AFTER)


class Rejection(NamedTuple):
    """A message that is not taken: why, from which IP address, and what is kept of it."""

    reason: str
    source: str
    topic: bytes
    body: bytes


class Onwards(Protocol):
    """The stage after the journal: it hands over what the journal holds, and counts it as published."""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""

    @property
    def takes_passed(self) -> bool:
        """Whether what a chained relay passes on will come out, and not come back to that relay."""

    @property
    def waking(self) -> AbstractSet[socket.socket]:
        """Sockets that wake the relay's loop."""

    @property
    def finished(self) -> bool:
        """Whether a stop has nothing more to wait for."""

    def introduce(self, subscription: bytes) -> bytes:
        """Make the answer to an inquiry."""

    def step(self, batch: Batch, journaled: bool) -> bool:
        """Hand over what is next; return whether more waits that may go now."""

    def note(self) -> None:
        """Note in the journal what is handed over for good."""


class Pipeline:
    """Takes messages from inbound and submit to the journal, onwards, and to their receipts.

    Args:
        inbound: where publishers are connected.
        submits: where submitters are.
        guard: of the journal.
        onwards: the stage that comes after the journal.
        settings: the daemon's own settings; may be replaced.
    """

    def __init__(
        self,
        inbound: Receiver,
        submits: Receiver,
        guard: JournalGuard,
        onwards: Onwards,
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.accounting = Accounting()
        self._inbound = inbound
        self._submits = submits
        self._guard = guard
        self._onwards = onwards
        self._drops = DropLog()
        self._renamed = DropLog("took %d %s whose %s another message has (last from %s)")
        self._unanswered = DropLog("%d %s %s (last to %s)", "answer")
        self._backlog = Backlog()
        self.reused_names = 0
        """Submitted messages that had the msg_id of another message."""
        self._account(Batch(guard.last))

    @property
    def overloaded(self) -> int:
        """Submitted batches that were told to try again as too much was waiting."""
        return self._backlog.turned_back

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""
        return self._onwards.settled and not self._more_to_take

    @property
    def _more_to_take(self) -> bool:
        """Whether something has come that no turn has taken yet."""
        return bool(self._backlog) or self._inbound.pending or self._submits.pending

    def turn(self) -> bool:
        """Take one batch through all stages, without waiting.

        Returns:
            Whether there is more to do at once.
        """
        self._guard.recover()
        batch = Batch(self._guard.last)
        self._receive_inbound(batch)
        batch.from_inbound = len(batch.entries)
        self._receive_submits(batch)
        journaled = self._journal(batch)
        more = self._onwards.step(batch, journaled)
        self._account(batch)
        self._answer(batch)
        self._onwards.note()  # only now: nobody waits for it
        self._report()
        # Whatever else is to do, or under load it would never be done.
        trimmed = self._guard.trim(self.settings.journal)
        return more or trimmed or self._more_to_take

    # receive -> admit

    def _receive_inbound(self, batch: Batch) -> None:
        max_size = self.settings.limits.max_message_size
        examine, add = message.examine, batch.add
        for peer, messages in self._inbound.receive(max_size, 2, limits.cut_bytes(max_size)):
            batch.counts.received += len(messages)
            for frames in messages:
                if isinstance(frames, Oversize) or len(frames) != 2:
                    self._quarantine_unreadable(batch, frames, tcp.host_of(peer.address))
                    continue
                topic, body = frames
                try:
                    reason, msg_id = examine(topic, body, max_size, find_msg_id)
                except MemoryError:  # what cannot be looked at reaches no listener
                    log.error("no memory to look at a message of %d bytes", len(body))
                    reason, msg_id = Reason.TOO_LARGE, None
                batch.size += len(topic) + len(body)
                if reason is None:
                    add(Entry(topic, body, msg_id))
                else:
                    batch.counts.quarantined += 1
                    self._reject(batch, Rejection(reason, tcp.host_of(peer.address), topic, body))

    def _quarantine_unreadable(self, batch: Batch, found: Message, source: str) -> None:
        """Set aside what is not two frames, or too large to be kept."""
        batch.counts.quarantined += 1
        if isinstance(found, Oversize):
            reason = Reason.TOO_LARGE if found.frames == 2 else Reason.FRAME_COUNT
            self._reject(batch, Rejection(reason, source, found.first, found.others), found.size)
        else:
            self._reject(batch, Rejection(Reason.FRAME_COUNT, source, found[0], b"".join(found[1:])))

    def _receive_submits(self, batch: Batch) -> None:
        self._fill_backlog(batch)
        # A share of its own: however much comes at inbound, submit is answered.
        full, heavy = batch.counts.received + limits.TURN_MESSAGES, batch.size + limits.TURN_BYTES
        while self._backlog and batch.counts.received < full and batch.size < heavy:
            request = self._backlog.take()
            try:
                self._admit_submit(request, batch)
            except MemoryError:
                log.error("no memory to look at a batch of %d bytes", request.size)
                batch.counts.received -= len(request.messages)
                batch.refusals.append((request.back, submit.busy(FAULT_RETRY_AFTER)))

    def _fill_backlog(self, batch: Batch) -> None:
        """Take in what was submitted, so that who submits too much is told so and does not just wait."""
        max_size = self.settings.limits.max_message_size
        bounds = (limits.request_bytes(max_size), submit.MAX_FRAMES, limits.cut_bytes(max_size))
        for peer, requests in self._submits.receive(*bounds):
            for frames in requests:
                if isinstance(frames, Oversize):
                    request: submit.Request | submit.Inquiry | submit.Malformed = submit.too_large(frames)
                else:
                    request = submit.parse(frames)
                self._take_request(request, Back(peer, request.route), batch)

    def _take_request(
        self, request: submit.Request | submit.Inquiry | submit.Malformed, back: Back, batch: Batch
    ) -> None:
        if isinstance(request, submit.Inquiry):
            batch.refusals.append((back, self._onwards.introduce(request.subscription)))
            return
        if isinstance(request, submit.Malformed):
            batch.counts.received += 1
            batch.counts.refused += 1
            self._reject(batch, Rejection(request.code, tcp.host_of(back.peer.address), b"", b""))
            batch.refusals.append((back, submit.refused(request.code, request.detail)))
            return
        if request.passed and not self._onwards.takes_passed:
            batch.refusals.append((back, _OVERLOADED))
            return
        size = sum(len(topic) + len(body) for topic, body in request.messages)
        if not self._backlog.put(Request(request.messages, back, size)):
            batch.refusals.append((back, _OVERLOADED))

    def _admit_submit(self, request: Request, batch: Batch) -> None:
        """Admit a submitted batch as a whole or not at all."""
        batch.counts.received += len(request.messages)
        entries: list[Entry] = []
        for topic, body in request.messages:
            batch.size += len(topic) + len(body)
            reason, msg_id = message.examine(topic, body, self.settings.limits.max_message_size, find_msg_id)
            if reason is not None:
                batch.counts.refused += len(request.messages)
                self._reject(batch, Rejection(reason, tcp.host_of(request.back.peer.address), topic, body))
                batch.dropped[reason] += len(request.messages) - 1
                detail = f"message {len(entries) + 1} of {len(request.messages)}; none of them was taken"
                batch.refusals.append((request.back, submit.refused(reason, detail)))
                return
            entries.append(Entry(topic, body, msg_id))
        before = len(batch.entries)
        seqs = [self._seen(entry, request.back.peer, batch) or self._take(entry, batch) for entry in entries]
        duplicates = len(entries) - (len(batch.entries) - before)
        batch.submitted.append(Submitted(request.back, min(seqs), max(seqs), len(seqs), duplicates))

    def _seen(self, entry: Entry, peer: Peer, batch: Batch) -> int | None:
        """Find the ``seq`` of the same message, if it is within the dedup window or in this batch already."""
        if entry.msg_id is None:
            return None
        namesakes = (*self._guard.window.find(entry.msg_id), *batch.known.get(entry.msg_id, ()))[-NAMESAKES:]
        for seq, seen in reversed(namesakes):
            if batch.holds(seq, entry) if seq > batch.base else self._guard.holds(seq, seen, entry):
                return seq
        if namesakes:
            batch.renamed += 1
            self._renamed.note("msg_id", tcp.host_of(peer.address))
        return None

    def _take(self, entry: Entry, batch: Batch) -> int:
        return batch.add(entry, fingerprint(entry.topic, entry.body))

    def _reject(self, batch: Batch, rejection: Rejection, size: int | None = None) -> None:
        reason, source, topic, body = rejection
        batch.dropped[reason] += 1
        batch.rejected.append(Rejected(str(reason), source, topic, body, size or len(topic) + len(body)))
        self._drops.note(str(reason), source)

    # journal

    def _journal(self, batch: Batch) -> bool:
        """Put the batch on disk; return whether it is there."""
        if not self._guard.append(batch.entries, batch.rejected, batch.size, batch.known):
            self._take_back(batch)
            return False
        batch.counts.journaled += len(batch.entries)
        self.reused_names += batch.renamed
        batch.counts.duplicates += sum(submitted.duplicates for submitted in batch.submitted)
        return True

    def _take_back(self, batch: Batch) -> None:
        """Submit answers busy, so its messages were not taken; what came at inbound has no other chance and goes on."""
        for submitted in batch.submitted:
            batch.refusals.append((submitted.back, submit.busy(FAULT_RETRY_AFTER)))
            batch.counts.received -= submitted.messages
        batch.submitted.clear()
        del batch.entries[batch.from_inbound :]
        batch.counts.unjournaled += len(batch.entries)

    # receipt

    def _answer(self, batch: Batch) -> None:
        answers = [(s.back, submit.accepted(s.first, s.last, s.duplicates)) for s in batch.submitted]
        for back, answer in (*answers, *batch.refusals):
            if not self._submits.reply(back.peer, [*back.route, submit.VERSION, answer]):
                self._unanswered.note("not sent, as the submitter was gone", tcp.host_of(back.peer.address))
        self._submits.flush()

    # beside the pipeline

    def _account(self, batch: Batch) -> None:
        batch.counts.carried += self._guard.take_carried()
        if batch.counts != Counts():
            self.accounting.add(batch.counts, self._guard.waiting, batch.dropped)
            if not (totals := self.accounting.totals()).balanced:
                log.error("the counters do not add up: %s", totals)

    def _report(self, everything: bool = False) -> None:
        self._drops.report(everything)
        self._renamed.report(everything)
        self._unanswered.report(everything)
        self._backlog.report(everything)

    def close(self) -> None:
        """Say what is still to be said."""
        self._report(everything=True)
