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
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path

import zmq

from fedmsg_relay import message, submit
from fedmsg_relay.accounting import Accounting, Counts
from fedmsg_relay.batch import Batch, Submitted
from fedmsg_relay.drops import DropLog
from fedmsg_relay.errors import JournalCorruptError, JournalError
from fedmsg_relay.journal import Entry, Journal, Rejected
from fedmsg_relay.log import log
from fedmsg_relay.message import Reason
from fedmsg_relay.outbound import Outbound
from fedmsg_relay.peers import peer_address
from fedmsg_relay.settings import Settings

BATCH_MESSAGES = 1000
"""Messages a batch takes at most, so that peers, signals and the watchdog are seen to between two batches."""

BATCH_BYTES = 16 * 1024 * 1024
"""Bytes after which a batch takes no further message."""

DEDUP_WINDOW = 50_000
"""A msg_id that is among those of the last so many journaled messages is a duplicate when it is submitted again."""

RETRY_AFTER = 2.0
"""Seconds after which a submitter shall try again when the journal can not be written."""

REOPEN_SECONDS = 1.0
"""How often a journal that could not be opened is tried again."""

PORTION = 50
"""Messages handed over before it is noted that they were: what a kill may bring out twice."""

WRITE_SECONDS = 0.002
"""How long publishing waits at most for what it handed over to be written."""

WRITTEN_SECONDS = 0.2
"""After which what was handed over is taken to be written, should libzmq never come to rest."""

HOLD_SECONDS = 2.5
"""How long a start waits at most for the listeners that were there before. Stock's reconnect within a second or two."""


class Pipeline:
    """Takes messages from inbound and submit to the journal, to outbound and to their receipts.

    Args:
        inbound: SUB, bound and subscribed.
        submits: ROUTER, bound; or None.
        outbound: where to publish.
        path: of the journal.
        settings: the daemon's own settings; may be replaced.
    """

    def __init__(
        self,
        inbound: zmq.Socket[bytes],
        submits: zmq.Socket[bytes] | None,
        outbound: Outbound,
        path: Path,
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.accounting = Accounting()
        self.journal: Journal | None = None
        self.journal_fault = ""
        """Why the journal can not be written, while it can not."""
        self.journal_bytes = 0
        self.notices: list[str] = []
        """What an operator must know about the journal as it was found at the start."""
        self._inbound = inbound
        self._submits = submits
        self._outbound = outbound
        self._path = path
        self._drops = DropLog()
        self._window: dict[str, int] = {}
        self._handed = 0
        self._next_trim = 0.0
        self._expected: list[str] = []
        self._remembered: list[str] = []
        self._next_remember = 0.0
        self._next_open = self._next_mark = 0.0
        self._unwritten: deque[tuple[float, int]] = deque()
        self._open_journal()
        self._hold_until = time.monotonic() + HOLD_SECONDS if self._expected else 0.0

    def turn(self) -> bool:
        """Take one batch through all stages, without waiting.

        Returns:
            Whether there is more to do at once.
        """
        if self.journal is None and time.monotonic() >= self._next_open:
            self._open_journal()
        batch = Batch(self.journal.last if self.journal else 0)
        self._receive_inbound(batch)
        if self._submits is not None:
            self._receive_submits(self._submits, batch)
        journaled = self._journal(batch)
        more = self._publish(batch, journaled)
        self._account(batch)
        self._answer(batch)
        self._drops.report()
        housekeeping = self.keep_house()  # whatever else is to do, or under load it would never be done
        return more or housekeeping or batch.counts.received >= BATCH_MESSAGES

    # receive -> admit

    def _receive_inbound(self, batch: Batch) -> None:
        receive = self._inbound.recv
        max_size = self.settings.limits.max_message_size
        examine = message.examine
        while batch.counts.received < BATCH_MESSAGES and batch.size < BATCH_BYTES:
            try:
                first = frame = receive(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            frames = [frame.bytes]
            while frame.more:
                frame = receive(copy=False)
                if len(frames) < 3:
                    frames.append(frame.bytes)
            batch.counts.received += 1
            if len(frames) == 2:
                topic, body = frames
                reason, msg_id = examine(topic, body, max_size)
            else:
                topic, body = frames[0], b"".join(frames[1:])
                reason, msg_id = Reason.FRAME_COUNT, None
            batch.size += len(topic) + len(body)
            if reason is None:
                batch.from_inbound.append(len(batch.entries))
                batch.add(Entry(topic, body, msg_id))
            else:
                batch.counts.quarantined += 1
                self._reject(batch, reason, peer_address(first), topic, body)

    def _receive_submits(self, submits: zmq.Socket[bytes], batch: Batch) -> None:
        # A share of its own: however much comes at inbound, submit is answered.
        full, heavy = batch.counts.received + BATCH_MESSAGES, batch.size + BATCH_BYTES
        while batch.counts.received < full and batch.size < heavy:
            try:
                frames = submits.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            request = submit.parse([frame.bytes for frame in frames])
            if isinstance(request, submit.Malformed):
                batch.counts.received += 1
                batch.counts.refused += 1
                self._reject(batch, request.code, peer_address(frames[-1]), b"", b"")
                batch.refusals.append((request.route, submit.refused(request.code, request.detail)))
            else:
                self._admit_submit(request, peer_address(frames[-1]), batch)

    def _admit_submit(self, request: submit.Request, source: str, batch: Batch) -> None:
        """Admit a submitted batch as a whole or not at all."""
        batch.counts.received += len(request.messages)
        entries: list[Entry] = []
        for topic, body in request.messages:
            batch.size += len(topic) + len(body)
            reason, msg_id = message.examine(topic, body, self.settings.limits.max_message_size)
            if reason is not None:
                batch.counts.refused += len(request.messages)
                self._reject(batch, reason, source, topic, body)
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
        return batch.known.get(entry.msg_id) or self._window.get(entry.msg_id)

    def _reject(self, batch: Batch, reason: str, source: str, topic: bytes, body: bytes) -> None:
        batch.dropped[reason] += 1
        batch.rejected.append(Rejected(str(reason), source, topic, body, len(topic) + len(body)))
        self._drops.note(str(reason), source)

    # journal

    def _journal(self, batch: Batch) -> bool:
        """Put the batch on disk; where that can not be, say so and let submitters wait."""
        journal = self.journal
        if journal is None:
            self._journal_failed(batch, self.journal_fault)
            return False
        if batch.entries or batch.rejected:
            try:
                journal.append(batch.entries, batch.rejected)
            except JournalError as error:
                self._journal_failed(batch, str(error))
                batch.counts.damaged += self._see_to(error)
                return False
            if self.journal_fault:
                log.warning("journal is written again, after: %s", self.journal_fault)
                self.journal_fault = ""
            self._window.update(batch.known)
            while len(self._window) > DEDUP_WINDOW:
                del self._window[next(iter(self._window))]
        batch.counts.journaled += len(batch.entries)
        batch.counts.duplicates += sum(submitted.duplicates for submitted in batch.submitted)
        return True

    def _journal_failed(self, batch: Batch, fault: str) -> None:
        """Submit answers busy, so its messages were not taken; what came at inbound has no other chance and goes on."""
        if not batch.entries and not batch.submitted:
            return
        if fault != self.journal_fault:
            log.error("journal can not be written, inbound is forwarded unjournaled, submit is busy: %s", fault)
            self.journal_fault = fault
        for submitted in batch.submitted:
            batch.refusals.append((submitted.route, submit.busy(RETRY_AFTER)))
            batch.counts.received -= submitted.messages
        batch.submitted.clear()
        batch.entries = [batch.entries[index] for index in batch.from_inbound]
        batch.counts.unjournaled += len(batch.entries)

    def _open_journal(self, anew: bool = False) -> None:
        self._next_open = time.monotonic() + REOPEN_SECONDS
        try:
            journal = Journal(self._path, anew)
            window, listeners = dict(journal.recent_ids(DEDUP_WINDOW)), journal.listeners()
        except JournalError as error:
            if isinstance(error, JournalCorruptError) and not anew:
                self._open_journal(anew=True)
                return
            if str(error) != self.journal_fault:
                log.error("%s; inbound is forwarded unjournaled, submit is busy", error)
            self.journal_fault = str(error)
            return
        # What was published from a journal that is set aside is known all the same.
        self.journal, self._window = journal, {**self._window, **window} if anew else window
        self._unwritten.clear()
        if self.journal_fault:
            log.warning("journal is written again, after: %s", self.journal_fault)
            self.journal_fault = ""
        self._handed = journal.published
        self._expected = self._remembered = listeners
        if waiting := journal.last - journal.published:
            self.accounting.add(Counts(carried=waiting), waiting, Counter())
        log.info("journal %s: last seq %d, %d waiting", self._path, journal.last, waiting)
        if journal.set_aside:
            self.notices.append(f"a journal that could not be read was set aside as {journal.set_aside}")
            log.error("%s; begun a new one", self.notices[-1])

    def _see_to(self, error: JournalError) -> int:
        """Set aside a journal that can not be worked with any more; every other fault may pass by itself.

        Returns:
            How many messages waited in it, which now nobody will publish.
        """
        if not isinstance(error, JournalCorruptError) or self.journal is None:
            return 0
        lost = self.journal.last - self._handed
        log.error("%s; %d messages that waited in it are not published", error, lost)
        self.journal.close()
        self.journal, self._handed = None, 0
        self._open_journal(anew=True)
        return lost

    # publish

    def _publish(self, batch: Batch, journaled: bool) -> bool:
        """Hand over what is next in the journal's order; return whether more waits that may go now."""
        publish = self._outbound.publish
        journal = self.journal
        holding = self._holding()
        if not journaled and batch.entries:
            # These can not be held back, and what is in the journal must not be overtaken.
            self._hold_until = 0.0
            while self._publish_waiting(batch):
                pass
            for entry in batch.entries:
                publish(entry.topic, entry.body)
        elif holding or journal is None:
            return False
        elif journal.last == self._handed:
            pass
        elif journal.last - len(batch.entries) == self._handed:
            for start in range(0, len(batch.entries), PORTION):
                portion = batch.entries[start : start + PORTION]
                for topic, body, _ in portion:
                    publish(topic, body)
                if self.journal is not journal:
                    # It turned out to be corrupt: these were counted with what waited in it, and are out all the same.
                    batch.counts.damaged -= len(portion)
                    batch.counts.published += len(portion)
                    continue
                batch.counts.published += len(portion)
                self._handed += len(portion)
                self._mark_published(batch)
        else:
            self._publish_waiting(batch)
        self._mark_published(batch)
        return self.journal is not None and self.journal.last > self._handed

    def _mark_published(self, batch: Batch) -> None:
        """Note in the journal what listeners get even if we are killed now; where it can not be noted, try again."""
        journal, now = self.journal, time.monotonic()
        if journal is None or journal.published == self._handed or now < self._next_mark:
            return
        # Where the last try was in vain this one does not wait: the queue is long, and work goes on.
        if self._outbound.written(0 if self._unwritten else WRITE_SECONDS):
            self._unwritten.clear()
            written = self._handed
        else:
            self._unwritten.append((now, self._handed))
            written = journal.published
            while self._unwritten[0][0] < now - WRITTEN_SECONDS:
                written = self._unwritten.popleft()[1]
            if written == journal.published:
                return
        try:
            journal.mark_published(written)
        except JournalError as error:
            log.error("%s: published messages may go out again at the next start", error)
            self._next_mark = now + REOPEN_SECONDS
            batch.counts.damaged += self._see_to(error)

    def _publish_waiting(self, batch: Batch) -> bool:
        """Hand over the next of what is in the journal only: from before a restart, or from while we held.

        Returns:
            Whether there was something to hand over.
        """
        journal = self.journal
        if journal is None or journal.last == self._handed:
            return False
        try:
            records = journal.waiting(self._handed, PORTION)
        except JournalError as error:
            log.error("%s: what waits in it can not be published", error)
            batch.counts.damaged += self._see_to(error)
            return False
        for record in records:
            if record.intact:
                self._outbound.publish(record.topic, record.body)
                batch.counts.published += 1
            else:
                batch.counts.damaged += 1
                log.error("journal: message seq %d is damaged, it is not published", record.seq)
        last = records[-1].seq if records else journal.last
        # What is missing between these was lost on disk; it must not stop the rest.
        missing = last - self._handed - len(records)
        if missing:
            batch.counts.damaged += missing
            log.error("journal: %d messages up to seq %d are missing", missing, last)
        self._handed = last
        return True

    def _holding(self) -> bool:
        """Wait, bounded, until the listeners that were there before are back."""
        if self._hold_until and not self._outbound.returned(self._expected):
            if time.monotonic() < self._hold_until:
                return True
            log.warning("not all listeners of before are back (%s); publishing", ", ".join(self._expected))
        self._hold_until = 0.0
        return False

    @property
    def holding(self) -> bool:
        """Whether publishing waits for listeners."""
        return bool(self._hold_until)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""
        return not self._hold_until and (self.journal is None or self.journal.published == self._handed)

    # receipt

    def _answer(self, batch: Batch) -> None:
        if self._submits is None:
            return
        answers = [(s.route, submit.accepted(s.first, s.last, s.duplicates)) for s in batch.submitted]
        for route, answer in (*answers, *batch.refusals):
            try:
                self._submits.send_multipart([*route, submit.VERSION, answer], zmq.DONTWAIT)
            except zmq.ZMQError as error:
                log.info("a submitter left before its answer: %s", error)

    # beside the pipeline

    def _account(self, batch: Batch) -> None:
        waiting = self.journal.last - self._handed if self.journal else 0
        if batch.counts.received or batch.counts.published or batch.counts.damaged:
            self.accounting.add(batch.counts, waiting, batch.dropped)
            if not (totals := self.accounting.totals()).balanced:
                log.error("the counters do not add up: %s", totals)

    def keep_house(self, ending: bool = False) -> bool:
        """Between two batches: retention, and remembering who listens.

        Args:
            ending: this is the last chance to.

        Returns:
            Whether retention has more to do.
        """
        if self.journal is None:
            return False
        now = time.monotonic()
        try:
            hosts = sorted(self._outbound.hosts())
            if hosts != self._remembered and (ending or now >= self._next_remember) and not self._hold_until:
                self.journal.remember_listeners(hosts)
                self._remembered, self._next_remember = hosts, now + 1
            if now >= self._next_trim:
                self.journal_bytes = self.journal.size()
                if self.journal.trim(self.settings.journal.keep_days * 86400, self.settings.journal.keep_bytes):
                    return True
                self._next_trim = now + 1
        except JournalError as error:
            self._next_trim = self._next_remember = now + 10
            log.error("%s", error)
            if lost := self._see_to(error):
                self.accounting.add(Counts(damaged=lost), 0, Counter())
        return False

    def close(self) -> None:
        """End: nothing is held back any more, and what is known is written down."""
        self._drops.report(everything=True)
        if self.journal is not None:
            with suppress(JournalError):
                self.journal.mark_published(self._handed)
            self.journal.close()
