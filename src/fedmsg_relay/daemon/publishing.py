"""The stage that publishes: what the journal holds goes to outbound, in the order of its ``seq``."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Set as AbstractSet

from fedmsg_relay import submit
from fedmsg_relay.daemon.batch import Batch
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime.log import log

PORTION = 100
"""Messages handed over before it is noted that they were: what a kill may bring out twice."""

WRITE_SECONDS = 0.002
"""How long publishing waits at most for what it handed over to be written."""

WRITTEN_SECONDS = 0.2
"""After which what was handed over is taken to be written, should libzmq never come to rest."""

HOLD_SECONDS = 2.5
"""How long a start waits at most for the listeners that were there before. Stock's reconnect within a second or two."""


class Hold:
    """Waits, bounded, for the listeners that were there before a restart.

    Args:
        outbound: where they are to come back.
        expected: their IP addresses, one for each connection there was.
    """

    def __init__(self, outbound: Outbound, expected: list[str]) -> None:
        self._outbound = outbound
        self._expected = expected
        self._until = time.monotonic() + HOLD_SECONDS if expected else 0.0

    @property
    def over(self) -> bool:
        """Whether nobody is waited for any more."""
        if self._until and not self._outbound.returned(self._expected):
            if time.monotonic() < self._until:
                return False
            log.warning("not all listeners of before are back (%s); publishing", ", ".join(self._expected))
        self._until = 0.0
        return True

    @property
    def on(self) -> bool:
        """Whether it was waited for somebody when last looked."""
        return bool(self._until)

    def give_up(self) -> None:
        """Wait no longer."""
        self._until = 0.0


class Written:
    """Notes in the journal up to where listeners have what was published, even if we are killed now.

    Args:
        guard: of the journal.
        outbound: where it was published.

    Attributes:
        upto: ``seq`` of the last message that listeners have.
    """

    def __init__(self, guard: JournalGuard, outbound: Outbound) -> None:
        self.upto = guard.cursor.handed_over
        self._guard = guard
        self._outbound = outbound
        self._unwritten: deque[tuple[float, int]] = deque()

    @property
    def pending(self) -> bool:
        """Whether something was not yet with the kernel when last looked."""
        return bool(self._unwritten)

    def note(self, upto: int) -> None:
        """Note what is with the kernel by now.

        Args:
            upto: ``seq`` of the last message that was published.
        """
        journal, now = self._guard.journal, time.monotonic()
        if journal is None or journal.published >= upto:
            self.upto = upto
            return
        # Where the last try was in vain this one does not wait: the queue is long, and work goes on.
        if self._outbound.written(0 if self._unwritten else WRITE_SECONDS):
            self._unwritten.clear()
            self._mark(upto)
            return
        if self._unwritten and self._unwritten[-1][1] > upto:
            self._unwritten.clear()  # of a journal that was set aside
        self._unwritten.append((now, upto))
        while self._unwritten[0][0] < now - WRITTEN_SECONDS:
            self._mark(self._unwritten.popleft()[1])

    def _mark(self, upto: int) -> None:
        self.upto = upto
        self._guard.mark_published(upto)


class Publishing:
    """Hands over to outbound what the journal holds.

    Args:
        identity: of this relay.
        guard: of the journal.
        outbound: where to publish.
        hold: until when to wait.
    """

    takes_passed = True
    waking: AbstractSet[socket.socket] = frozenset()

    def __init__(self, identity: str, guard: JournalGuard, outbound: Outbound, hold: Hold) -> None:
        self._identity = identity
        self._guard = guard
        self._outbound = outbound
        self._hold = hold
        self._written = Written(guard, outbound)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""
        journal = self._guard.journal
        return not self._hold.on and (journal is None or self._guard.cursor.settled)

    @property
    def finished(self) -> bool:
        """Whether a stop has nothing more to wait for."""
        return True

    def introduce(self, subscription: bytes) -> bytes:
        """Answer a chained relay that asks who this is.

        Args:
            subscription: that it made at outbound.
        """
        return submit.relay([self._identity], True, self._outbound.mirrored_by(subscription))

    def step(self, batch: Batch, journaled: bool) -> bool:
        """Hand over what is next in the journal's order.

        Args:
            batch: what this turn took in.
            journaled: whether it is in the journal.

        Returns:
            Whether more waits that may go now.
        """
        guard = self._guard
        if not journaled and batch.entries:
            # These can not be held back, and what is in the journal must not be overtaken.
            self._hold.give_up()
            while self._publish_waiting(batch):
                pass
            for topic, body, _ in batch.entries:
                self._outbound.publish(topic, body)
        elif not self._hold.over:
            return False
        elif 0 < guard.waiting == len(batch.entries):
            for start in range(0, len(batch.entries), PORTION):
                self.note()
                self._publish(batch, batch.entries[start : start + PORTION])
        else:
            return self._publish_waiting(batch) and guard.waiting > 0
        return guard.waiting > 0

    def note(self) -> None:
        """Note in the journal what listeners get even if we are killed now."""
        self._written.note(self._guard.cursor.handed_over)

    def _publish(self, batch: Batch, portion: list[Entry]) -> None:
        publish = self._outbound.publish
        for topic, body, _ in portion:
            publish(topic, body)
        batch.counts.published += len(portion)
        cursor = self._guard.cursor
        cursor.hand_over(cursor.handed_over + len(portion))

    def _publish_waiting(self, batch: Batch) -> bool:
        """Hand over the next of what is in the journal only: from before a restart, or from while we held.

        Returns:
            Whether there was something to hand over.
        """
        waiting = self._guard.next_waiting(PORTION)
        for record in waiting.records:
            self._outbound.publish(record.topic, record.body)
        batch.counts.published += len(waiting.records)
        batch.counts.damaged += waiting.damaged
        cursor = self._guard.cursor
        progress = waiting.upto > cursor.handed_over
        cursor.hand_over(waiting.upto)
        return progress
