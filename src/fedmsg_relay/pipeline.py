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

import time
from collections import deque
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

import zmq

from fedmsg_relay import drops, message, submit
from fedmsg_relay.accounting import Accounting, Counts
from fedmsg_relay.batch import Batch, Submitted
from fedmsg_relay.body import find_msg_id
from fedmsg_relay.drops import DropLog
from fedmsg_relay.keeper import Keeper
from fedmsg_relay.log import log
from fedmsg_relay.message import Reason
from fedmsg_relay.peers import peer_address
from fedmsg_relay.records import Entry, Rejected
from fedmsg_relay.settings import Settings

_DONTWAIT, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
"""For each message: the enums are slow."""

BATCH_MESSAGES = 2000
"""Messages a batch takes at most, so that peers, signals and the watchdog are seen to between two batches."""

BATCH_BYTES = 16 * 1024 * 1024
"""Bytes after which a batch takes no further message."""

BACKLOG_BYTES = 64 * 1024 * 1024
"""Bytes of submitted batches that may wait for their turn; who submits beyond that is told that the relay is busy."""

FAULT_RETRY_AFTER = 2.0
"""Seconds after which a submitter shall try again when the journal can not be written."""

LOAD_RETRY_AFTER = 0.5
"""Seconds after which a submitter shall try again when too much waits for its turn."""


class Request(NamedTuple):
    """A submitted batch that waits for its turn.

    Attributes:
        batch: topic and body of its messages, and the way back.
        frame: one of its frames, which knows whose it is.
        size: bytes of its messages.
    """

    batch: submit.Request
    frame: zmq.Frame
    size: int


class Onwards(Protocol):
    """The stage after the journal: it hands over what the journal holds, and counts it as published."""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""

    @property
    def takes_passed(self) -> bool:
        """Whether what a chained relay passes on will come out, and not come back to that relay."""

    @property
    def waking(self) -> AbstractSet[zmq.Socket[bytes]]:
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
        inbound: SUB, bound and subscribed.
        submits: ROUTER, bound.
        keeper: of the journal.
        onwards: the stage that comes after the journal.
        settings: the daemon's own settings; may be replaced.
    """

    def __init__(
        self,
        inbound: zmq.Socket[bytes],
        submits: zmq.Socket[bytes],
        keeper: Keeper,
        onwards: Onwards,
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.accounting = Accounting()
        self._inbound = inbound
        self._submits = submits
        self._keeper = keeper
        self._onwards = onwards
        self._drops = DropLog()
        self._backlog: deque[Request] = deque()
        self._backlog_bytes = 0
        self.overloaded = 0
        """Submitted batches that were told to try again as too much was waiting."""
        self._overloaded_told = 0
        self._next_told = 0.0
        self._account(Batch(keeper.last))

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""
        return self._onwards.settled and not self._backlog

    def turn(self) -> bool:
        """Take one batch through all stages, without waiting.

        Returns:
            Whether there is more to do at once.
        """
        self._keeper.recover()
        batch = Batch(self._keeper.last)
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
        trimmed = self._keeper.trim(self.settings.journal)
        return more or trimmed or bool(self._backlog) or batch.counts.received >= BATCH_MESSAGES

    # receive -> admit

    def _receive_inbound(self, batch: Batch) -> None:
        receive = self._inbound.recv
        max_size = self.settings.limits.max_message_size
        examine, add = message.examine, batch.add
        while batch.counts.received < BATCH_MESSAGES and batch.size < BATCH_BYTES:
            try:
                frame = receive(_DONTWAIT, copy=False)
            except zmq.Again:
                return
            topic = frame.bytes
            bodies: list[bytes] = []
            while frame.more:
                frame = receive(copy=False)
                if len(bodies) < 2:
                    bodies.append(frame.bytes)
            batch.counts.received += 1
            if len(bodies) == 1:
                body = bodies[0]
                reason, msg_id = examine(topic, body, max_size, find_msg_id)
            else:
                body = b"".join(bodies)
                reason, msg_id = Reason.FRAME_COUNT, None
            batch.size += len(topic) + len(body)
            if reason is None:
                add(Entry(topic, body, msg_id))
            else:
                batch.counts.quarantined += 1
                self._reject(batch, reason, peer_address(frame), topic, body)

    def _receive_submits(self, batch: Batch) -> None:
        self._fill_backlog(batch)
        # A share of its own: however much comes at inbound, submit is answered.
        full, heavy = batch.counts.received + BATCH_MESSAGES, batch.size + BATCH_BYTES
        while self._backlog and batch.counts.received < full and batch.size < heavy:
            request = self._backlog.popleft()
            self._backlog_bytes -= request.size
            self._admit_submit(request.batch, request.frame, batch)

    def _fill_backlog(self, batch: Batch) -> None:
        """Take in what was submitted, so that who submits too much is told so and does not just wait."""
        took = 0
        for _ in range(BATCH_MESSAGES):
            if took > BACKLOG_BYTES:
                return
            try:
                frames = [self._submits.recv(_DONTWAIT, copy=False)]
            except zmq.Again:
                return
            while frames[-1].more:
                frames.append(self._submits.recv(copy=False))
            request = submit.parse([frame.bytes for frame in frames])
            if isinstance(request, submit.Inquiry):
                batch.refusals.append((request.route, self._onwards.introduce(request.subscription)))
                continue
            if isinstance(request, submit.Malformed):
                batch.counts.received += 1
                batch.counts.refused += 1
                self._reject(batch, request.code, peer_address(frames[-1]), b"", b"")
                batch.refusals.append((request.route, submit.refused(request.code, request.detail)))
                continue
            size = sum(len(topic) + len(body) for topic, body in request.messages)
            took += size
            if request.passed and not self._onwards.takes_passed:
                batch.refusals.append((request.route, submit.busy(LOAD_RETRY_AFTER)))
            elif self._backlog and self._backlog_bytes + size > BACKLOG_BYTES:
                batch.refusals.append((request.route, submit.busy(LOAD_RETRY_AFTER)))
                self.overloaded += 1
            else:
                self._backlog.append(Request(request, frames[-1], size))
                self._backlog_bytes += size

    def _admit_submit(self, request: submit.Request, frame: zmq.Frame, batch: Batch) -> None:
        """Admit a submitted batch as a whole or not at all."""
        batch.counts.received += len(request.messages)
        entries: list[Entry] = []
        for topic, body in request.messages:
            batch.size += len(topic) + len(body)
            reason, msg_id = message.examine(topic, body, self.settings.limits.max_message_size, find_msg_id)
            if reason is not None:
                batch.counts.refused += len(request.messages)
                self._reject(batch, reason, peer_address(frame), topic, body)
                batch.dropped[reason] += len(request.messages) - 1
                detail = f"message {len(entries) + 1} of {len(request.messages)}; none of them was taken"
                batch.refusals.append((request.route, submit.refused(reason, detail)))
                return
            entries.append(Entry(topic, body, msg_id))
        before = len(batch.entries)
        seqs = [self._seen(entry, batch) or batch.add(entry) for entry in entries]
        duplicates = len(entries) - (len(batch.entries) - before)
        batch.submitted.append(Submitted(request.route, min(seqs), max(seqs), len(seqs), duplicates))

    def _seen(self, entry: Entry, batch: Batch) -> int | None:
        """Find the ``seq`` of the same message, if it is within the dedup window or in this batch already."""
        if entry.msg_id is None:
            return None
        return batch.known.get(entry.msg_id) or self._keeper.window.get(entry.msg_id)

    def _reject(self, batch: Batch, reason: str, source: str, topic: bytes, body: bytes) -> None:
        batch.dropped[reason] += 1
        batch.rejected.append(Rejected(str(reason), source, topic, body, len(topic) + len(body)))
        self._drops.note(str(reason), source)

    # journal

    def _journal(self, batch: Batch) -> bool:
        """Put the batch on disk; return whether it is there."""
        if not self._keeper.append(batch):
            self._take_back(batch)
            return False
        batch.counts.journaled += len(batch.entries)
        batch.counts.duplicates += sum(submitted.duplicates for submitted in batch.submitted)
        return True

    def _take_back(self, batch: Batch) -> None:
        """Submit answers busy, so its messages were not taken; what came at inbound has no other chance and goes on."""
        for submitted in batch.submitted:
            batch.refusals.append((submitted.route, submit.busy(FAULT_RETRY_AFTER)))
            batch.counts.received -= submitted.messages
        batch.submitted.clear()
        del batch.entries[batch.from_inbound :]
        batch.counts.unjournaled += len(batch.entries)

    # receipt

    def _answer(self, batch: Batch) -> None:
        answers = [(s.route, submit.accepted(s.first, s.last, s.duplicates)) for s in batch.submitted]
        for route, answer in (*answers, *batch.refusals):
            try:
                for frame in (*route, submit.VERSION):
                    self._submits.send(frame, _MORE)
                self._submits.send(answer, _DONTWAIT)
            except zmq.ZMQError as error:
                log.info("a submitter left before its answer: %s", error)

    # beside the pipeline

    def _account(self, batch: Batch) -> None:
        found, self._keeper.found = self._keeper.found, Counts()
        batch.counts.carried += found.carried
        batch.counts.damaged += found.damaged
        if batch.counts != Counts():
            self.accounting.add(batch.counts, self._keeper.waiting, batch.dropped)
            if not (totals := self.accounting.totals()).balanced:
                log.error("the counters do not add up: %s", totals)

    def _report(self, everything: bool = False) -> None:
        self._drops.report(everything)
        told, now = self.overloaded - self._overloaded_told, time.monotonic()
        if told and (everything or now >= self._next_told):
            log.warning("overloaded: %d submitted batches were told to try again in %.1f s", told, LOAD_RETRY_AFTER)
            self._overloaded_told, self._next_told = self.overloaded, now + drops.INTERVAL

    def close(self) -> None:
        """Say what is still to be said."""
        self._report(everything=True)
