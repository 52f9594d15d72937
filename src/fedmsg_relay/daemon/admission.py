"""Admission: reads what came at inbound and submit, and decides message by message what goes into the journal.

A message that is well-formed becomes an entry of the turn. A message that is not goes into the quarantine, or has its
batch refused. A submitted message that the journal has already is a duplicate. (A message from inbound never is one.)
"""

from __future__ import annotations

from typing import NamedTuple

from fedmsg_relay import message, submit, tcp
from fedmsg_relay.body import find_msg_id
from fedmsg_relay.daemon.backlog import RETRY_AFTER, Backlog, Batch
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.daemon.sources import Sources
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.daemon.turn import DueReceipt, ReturnPath, Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.window import NAMESAKES, fingerprint
from fedmsg_relay.message import Reason
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.network.zmtp import Message, Oversize
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.runtime.log import log
from fedmsg_relay.trust.reasons import Reason as Distrust

FAULT_RETRY_AFTER = 2.0
"""Seconds after which a submitter shall try again when the journal cannot be written."""

_OVERLOADED = submit.Busy(RETRY_AFTER).encode()


class Rejection(NamedTuple):
    """A message that is not taken: why, from which IP address, and what is kept of it."""

    reason: str
    source: str
    topic: bytes
    body: bytes


class Admission:
    """Takes messages from inbound and submit into a turn.

    Args:
        inbound: where publishers are connected.
        submits: where submitters are connected.
        guard: of the journal; its dedup window tells duplicates.
        stage: after the journal; it answers inquiries of chained relays.
        sources: judges peers by their IP addresses.
    """

    def __init__(
        self, inbound: Receiver, submits: Receiver, guard: JournalGuard, stage: Stage, sources: Sources
    ) -> None:
        self._inbound = inbound
        self._submits = submits
        self._guard = guard
        self._stage = stage
        self._sources = sources
        self._drops = DropLog()
        self._renamed = DropLog("took %d %s whose %s another message has (last from %s)")
        self._backlog = Backlog()

    @property
    def overloaded(self) -> int:
        """Number of submitted batches whose submitters were told to try again, as too many batches wait."""
        return self._backlog.turned_back

    @property
    def pending(self) -> bool:
        """Whether something has come that no turn has taken yet."""
        return bool(self._backlog) or self._inbound.pending or self._submits.pending

    def fill(self, turn: Turn, settings: Settings) -> None:
        """Receive and admit one turn's share of messages.

        Args:
            turn: takes them.
            settings: the daemon's own settings.
        """
        self._sources.use(settings)
        max_size = settings.limits.max_message_size
        self._take_published(turn, max_size)
        turn.from_inbound = len(turn.entries)
        self._take_submitted(turn, max_size)

    def report(self, everything: bool = False) -> None:
        """Log what was not taken.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._drops.report(everything)
        self._renamed.report(everything)
        self._backlog.report(everything)
        self._sources.report(everything)

    # Inbound.

    def _take_published(self, turn: Turn, max_size: int) -> None:
        examine, add = message.examine, turn.add
        for peer, messages in self._inbound.receive(max_size, 2, limits.cut_bytes(max_size)):
            turn.counts.received += len(messages)
            self._sources.note_published(peer, len(messages))
            outside = not self._sources.may_publish(peer)
            for frames in messages:
                if isinstance(frames, Oversize) or len(frames) != 2:
                    self._quarantine_unreadable(turn, frames, tcp.host_of(peer.address))
                    continue
                topic, body = frames
                reason: Reason | Distrust | None
                try:
                    reason, msg_id = examine(topic, body, max_size, find_msg_id)
                except MemoryError:  # a message that cannot be checked reaches no listener
                    log.error("not enough memory to check a message of %d bytes: it is dropped", len(body))
                    reason, msg_id = Reason.TOO_LARGE, None
                turn.size += len(topic) + len(body)
                if outside and reason is None and topic != self._sources.probe:
                    reason = Distrust.SOURCE_NOT_ALLOWED
                    self._sources.inbound_refused.add(peer.ip, 1)
                if reason is None:
                    add(Entry(topic, body, msg_id))
                else:
                    turn.counts.quarantined += 1
                    self._reject(turn, Rejection(reason, tcp.host_of(peer.address), topic, body))

    def _quarantine_unreadable(self, turn: Turn, found: Message, source: str) -> None:
        """Quarantine a message that does not have two frames, or is too large to be kept."""
        turn.counts.quarantined += 1
        if isinstance(found, Oversize):
            reason = Reason.TOO_LARGE if found.frames == 2 else Reason.FRAME_COUNT
            self._reject(turn, Rejection(reason, source, found.first, found.others), found.size)
        else:
            self._reject(turn, Rejection(Reason.FRAME_COUNT, source, found[0], b"".join(found[1:])))

    # Submit.

    def _take_submitted(self, turn: Turn, max_size: int) -> None:
        self._fill_backlog(turn, max_size)
        # Submit has a share of its own: it is answered however much comes at inbound.
        full, heavy = turn.counts.received + limits.TURN_MESSAGES, turn.size + limits.TURN_BYTES
        while self._backlog and turn.counts.received < full and turn.size < heavy:
            batch = self._backlog.take()
            before = len(turn.entries)
            try:
                self._admit(batch, turn, max_size)
            except MemoryError:
                turn.forget_from(before)
                log.error("not enough memory to check a batch of %d bytes: submit answers busy", batch.size)
                turn.counts.received -= len(batch.messages)
                turn.answers.append((batch.reply_to, submit.Busy(FAULT_RETRY_AFTER).encode()))

    def _fill_backlog(self, turn: Turn, max_size: int) -> None:
        """Take in all requests at once, so that a submitter that sends too many is told so and does not just wait."""
        bounds = (limits.request_bytes(max_size), submit.MAX_FRAMES, limits.cut_bytes(max_size))
        for peer, requests in self._submits.receive(*bounds):
            for frames in requests:
                if isinstance(frames, Oversize):
                    request: submit.Request | submit.Inquiry | submit.Malformed = submit.read_oversize(frames)
                else:
                    request = submit.read_request(frames)
                self._take_request(request, ReturnPath(peer, request.route), turn)

    def _take_request(
        self, request: submit.Request | submit.Inquiry | submit.Malformed, reply_to: ReturnPath, turn: Turn
    ) -> None:
        peer = reply_to.peer
        if isinstance(request, submit.Inquiry):
            if not self._sources.may_submit(peer):  # so the chained relay keeps what it has
                refused = submit.Refused(Distrust.SOURCE_NOT_ALLOWED, f"from {peer.ip}")
                turn.answers.append((reply_to, refused.encode()))
                return
            turn.answers.append((reply_to, self._stage.introduce(request.subscription)))
            return
        if isinstance(request, submit.Malformed):
            turn.counts.received += 1
            turn.counts.refused += 1
            self._reject(turn, Rejection(request.code, tcp.host_of(reply_to.peer.address), b"", b""))
            turn.answers.append((reply_to, submit.Refused(request.code, request.detail).encode()))
            return
        if request.passed and not self._stage.takes_forwarded:
            turn.answers.append((reply_to, _OVERLOADED))
            return
        # What a chained relay passes on comes from many sources, which that relay holds to its own rate.
        if not request.passed and (seconds := self._sources.wait(peer)):
            turn.answers.append((reply_to, submit.Busy(seconds).encode()))
            return
        size = sum(len(topic) + len(body) for topic, body in request.messages)
        if not self._backlog.put(Batch(request.messages, reply_to, size)):
            turn.answers.append((reply_to, _OVERLOADED))
        elif not request.passed:
            self._sources.note_taken(peer, len(request.messages))

    def _admit(self, batch: Batch, turn: Turn, max_size: int) -> None:
        """Admit a submitted batch as a whole or not at all."""
        turn.counts.received += len(batch.messages)
        peer = batch.reply_to.peer
        outside = not self._sources.may_submit(peer)
        entries: list[Entry] = []
        reason: Reason | Distrust | None
        for topic, body in batch.messages:
            turn.size += len(topic) + len(body)
            reason, msg_id = message.examine(topic, body, max_size, find_msg_id)
            if outside and reason is None:
                reason = Distrust.SOURCE_NOT_ALLOWED
                self._sources.submit_refused.add(peer.ip, len(batch.messages))
            if reason is not None:
                turn.counts.refused += len(batch.messages)
                self._reject(turn, Rejection(reason, tcp.host_of(batch.reply_to.peer.address), topic, body))
                turn.dropped[reason] += len(batch.messages) - 1
                which = f"from {peer.ip}" if outside else f"message {len(entries) + 1} of {len(batch.messages)}"
                detail = f"{which}; none of them was taken"
                turn.answers.append((batch.reply_to, submit.Refused(reason, detail).encode()))
                return
            entries.append(Entry(topic, body, msg_id))
        previous = len(turn.entries)
        seqs = [self._find_duplicate(entry, batch.reply_to.peer, turn) or self._add(entry, turn) for entry in entries]
        duplicates = len(entries) - (len(turn.entries) - previous)
        turn.receipts.append(DueReceipt(batch.reply_to, min(seqs), max(seqs), len(seqs), duplicates))

    def _find_duplicate(self, entry: Entry, peer: Peer, turn: Turn) -> int | None:
        """Find the ``seq`` of the same message, if it is in the dedup window or in this turn already."""
        if entry.msg_id is None:
            return None
        namesakes = (*self._guard.window.find(entry.msg_id), *turn.known.get(entry.msg_id, ()))[-NAMESAKES:]
        for seq, seen in reversed(namesakes):
            if turn.holds(seq, entry) if seq > turn.base else self._guard.holds(seq, seen, entry):
                return seq
        if namesakes:
            turn.renamed += 1
            self._renamed.note("msg_id", tcp.host_of(peer.address))
        return None

    def _add(self, entry: Entry, turn: Turn) -> int:
        return turn.add(entry, fingerprint(entry.topic, entry.body))

    def _reject(self, turn: Turn, rejection: Rejection, size: int | None = None) -> None:
        reason, source, topic, body = rejection
        turn.dropped[reason] += 1
        turn.rejected.append(Rejected(str(reason), source, topic, body, size or len(topic) + len(body)))
        self._drops.note(str(reason), source)
