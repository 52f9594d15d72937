"""The publishing stage: messages of the journal go to outbound, in the order of their ``seq``."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Set as AbstractSet

from fedmsg_relay import submit
from fedmsg_relay.daemon.listener_wait import ListenerWait
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.network.outbound import Outbound

PORTION = 100
"""Messages sent before the journal notes that they were: the most that may come out twice after a kill."""

WRITE_SECONDS = 0.002
"""Maximum time that publishing waits until libzmq has written what was sent."""

WRITTEN_SECONDS = 0.2
"""Time after which messages count as written, should libzmq never come to rest."""


class PublishedMark:
    """Notes in the journal how far messages are published: listeners get those even if the relay is killed now.

    Args:
        guard: of the journal.
        outbound: where the messages are published.

    Attributes:
        upto: ``seq`` of the last message that listeners have.
    """

    def __init__(self, guard: JournalGuard, outbound: Outbound) -> None:
        self.upto = guard.cursor.sent
        self._guard = guard
        self._outbound = outbound
        self._unwritten: deque[tuple[float, int]] = deque()

    @property
    def unwritten(self) -> bool:
        """Whether the kernel did not yet have all messages when last looked."""
        return bool(self._unwritten)

    def note(self, upto: int) -> None:
        """Note the messages that the kernel has by now.

        Args:
            upto: ``seq`` of the last message that was published.
        """
        journal, now = self._guard.journal, time.monotonic()
        if journal is None or journal.published >= upto:
            self.upto = upto
            return
        # After a wait in vain this does not wait again: the queue is long, and work goes on.
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


class PublishingStage:
    """Sends to outbound what the journal holds (see :class:`fedmsg_relay.daemon.stage.Stage`).

    Args:
        identity: of this relay.
        guard: of the journal.
        outbound: where to publish.
        wait: delays publishing after a start.
    """

    takes_forwarded = True
    wakeup_sockets: AbstractSet[socket.socket] = frozenset()
    ready_to_stop = True

    def __init__(self, identity: str, guard: JournalGuard, outbound: Outbound, wait: ListenerWait) -> None:
        self._identity = identity
        self._guard = guard
        self._outbound = outbound
        self._wait = wait
        self._mark = PublishedMark(guard, outbound)

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        return not self._wait.on and (self._guard.journal is None or self._guard.cursor.all_published)

    def introduce(self, subscription: bytes) -> bytes:
        """Make the answer to a chained relay that asks which relay this is.

        Args:
            subscription: the topic that the chained relay has subscribed to at outbound.
        """
        return submit.Introduction([self._identity], True, self._outbound.mirrored_by(subscription)).encode()

    def send(self, turn: Turn) -> bool:
        """Publish the next messages in the journal's order.

        Args:
            turn: the current turn; its entries are in the journal.

        Returns:
            Whether more messages wait that may be published at once.
        """
        if not self._wait.over:
            return False
        if not 0 < self._guard.waiting == len(turn.entries):
            return self._publish_waiting(turn) and self._guard.waiting > 0
        for start in range(0, len(turn.entries), PORTION):
            self.note_published()
            self._publish(turn, turn.entries[start : start + PORTION])
        return self._guard.waiting > 0

    def send_unjournaled(self, turn: Turn) -> bool:
        """Publish the entries of a turn that could not be journaled, after all that waits in the journal.

        Args:
            turn: the current turn; it has entries.

        Returns:
            Whether more messages wait that may be published at once.
        """
        # These entries are in memory only, so they cannot be held back.
        self._wait.give_up()
        while self._publish_waiting(turn):
            pass
        for topic, body, _ in turn.entries:
            self._outbound.publish(topic, body)
        return self._guard.waiting > 0

    def note_published(self) -> None:
        """Note in the journal which messages listeners get even if the relay is killed now."""
        self._mark.note(self._guard.cursor.sent)

    def _publish(self, turn: Turn, portion: list[Entry]) -> None:
        publish = self._outbound.publish
        for topic, body, _ in portion:
            publish(topic, body)
        turn.counts.published += len(portion)
        cursor = self._guard.cursor
        cursor.note_sent(cursor.sent + len(portion))

    def _publish_waiting(self, turn: Turn) -> bool:
        """Publish messages that are in the journal only: those from before a restart or from the wait for listeners.

        Returns:
            Whether there were any.
        """
        waiting = self._guard.next_waiting(PORTION)
        for record in waiting.records:
            self._outbound.publish(record.topic, record.body)
        turn.counts.published += len(waiting.records)
        turn.counts.damaged += waiting.damaged
        cursor = self._guard.cursor
        progress = waiting.upto > cursor.sent
        cursor.note_sent(waiting.upto)
        return progress
