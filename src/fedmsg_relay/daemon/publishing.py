"""The publishing stage: messages of the journal go to outbound, in the order of their ``seq``."""

from __future__ import annotations

import socket
import time
from collections.abc import Set as AbstractSet

from fedmsg_relay import submit
from fedmsg_relay.daemon.listener_wait import ListenerWait
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.network.outbound import Outbound

PORTION = 1000
"""Maximum number of messages that are read from the journal to be published at once."""

LOOK_SECONDS = 0.1
"""Time between two looks at the mark."""

LOOK_MESSAGES = 20_000
"""Maximum number of messages that are published between two looks; more wait for the next one."""

MOST_TWICE = 2 * LOOK_MESSAGES
"""Maximum number of messages that go out again after a crash."""


class PublishedMark:
    """Notes in the journal how far messages are published: what is noted does not go out again after a crash.

    libzmq writes messages to the kernel in a thread of its own, and does not tell when it has. So a message counts as
    published one look late: when it had been given to libzmq at the look before. By then libzmq has had
    :data:`LOOK_SECONDS` for it.

    Args:
        guard: of the journal.

    Attributes:
        upto: ``seq`` of the last message that counts as published.
        seen: ``seq`` of the last message that had been sent at the last look.
    """

    def __init__(self, guard: JournalGuard) -> None:
        self.upto = self.seen = guard.cursor.sent
        self._guard = guard
        self._looked = time.monotonic()

    @property
    def pending(self) -> bool:
        """Whether messages had been sent, when last looked, that do not count as published yet."""
        return self.seen > self.upto

    @property
    def room(self) -> int:
        """Number of messages that may be published before the next look."""
        return max(0, self.seen + LOOK_MESSAGES - self._guard.cursor.sent)

    def look(self, sent: int) -> None:
        """Note the messages that had been sent at the look before, if it is time to look again.

        Args:
            sent: ``seq`` of the last message that was sent.
        """
        if sent < self.seen:  # it is another journal
            self.upto = self.seen = sent
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self.upto, self.seen, self._looked = self.seen, sent, now
        if self.upto > self._guard.cursor.published:
            self._guard.mark_published(self.upto)


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

    def __init__(self, identity: str, guard: JournalGuard, outbound: Outbound, wait: ListenerWait) -> None:
        self._identity = identity
        self._guard = guard
        self._outbound = outbound
        self._wait = wait
        self._mark = PublishedMark(guard)

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        return not self._wait.on and (self._guard.journal is None or self._guard.cursor.all_published)

    @property
    def ready_to_stop(self) -> bool:
        """Whether a stop has nothing more to wait for: what waits goes out, unless listeners are waited for."""
        return not self._wait.over or not self._guard.waiting

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
        room = self._mark.room
        if not 0 < self._guard.waiting == len(turn.entries):
            return self._publish_waiting(turn, min(PORTION, room)) and self._guard.waiting > 0
        self._publish(turn, turn.entries[:room])
        return self._guard.waiting > 0 and len(turn.entries) <= room

    def send_unjournaled(self, turn: Turn) -> bool:
        """Publish the entries of a turn that could not be journaled, after all that waits in the journal.

        Args:
            turn: the current turn; it has entries.

        Returns:
            Whether more messages wait that may be published at once.
        """
        # These entries are in memory only, so they cannot be held back.
        self._wait.give_up()
        while self._publish_waiting(turn, PORTION):
            pass
        self._outbound.publish_all((topic, body) for topic, body, _ in turn.entries)
        return self._guard.waiting > 0

    def note_published(self) -> None:
        """Note in the journal which messages are published, if it is time for that."""
        self._mark.look(self._guard.cursor.sent)

    def _publish(self, turn: Turn, portion: list[Entry]) -> None:
        self._outbound.publish_all((topic, body) for topic, body, _ in portion)
        turn.counts.published += len(portion)
        cursor = self._guard.cursor
        cursor.note_sent(cursor.sent + len(portion))

    def _publish_waiting(self, turn: Turn, at_most: int) -> bool:
        """Publish messages that are in the journal only: those from before a restart or from the wait for listeners.

        Returns:
            Whether there were any.
        """
        if not at_most:
            return False
        waiting = self._guard.next_waiting(at_most)
        self._outbound.publish_all((record.topic, record.body) for record in waiting.records)
        turn.counts.published += len(waiting.records)
        turn.counts.damaged += waiting.damaged
        cursor = self._guard.cursor
        progress = waiting.upto > cursor.sent
        cursor.note_sent(waiting.upto)
        return progress
