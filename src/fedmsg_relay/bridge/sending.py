"""Sends the messages of a window over a channel, and deals with the broker's answers to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika

from fedmsg_relay.bridge.condition import Condition, State
from fedmsg_relay.bridge.connecting import Errors, Pause
from fedmsg_relay.bridge.mapping import SEQ, Reason
from fedmsg_relay.bridge.progress import Progress
from fedmsg_relay.bridge.window import Item
from fedmsg_relay.daemon.settings import Bridge, Unroutable

FULL_PAUSE, LONGEST_FULL_PAUSE = 1.0, 60.0
"""Pauses before a message that the broker did not take is tried again: each try is one more copy in other queues."""

REFUSALS = 10
"""Messages in a row that are set aside as the broker refuses them; then it is the broker that is at fault."""


class Sending:
    """What is in flight, and how much may be.

    Args:
        exchange: to publish to.
        progress: what is to be sent.
        settings: ``[bridge]`` of relay.toml.
        condition: of the way forward.
        well: called when the broker has taken a message.

    Attributes:
        blocked: whether the broker takes nothing now.
        stale: whether the next try needs another channel. After the leader of a quorum queue is gone, RabbitMQ may
            refuse everything that comes over a channel, and take it over a new one.
    """

    def __init__(
        self, exchange: str, progress: Progress, settings: Bridge, condition: Condition, well: Callable[[], None]
    ) -> None:
        self.blocked = self.stale = False
        self._exchange = exchange
        self._progress = progress
        self._condition = condition
        self._well = well
        self._most = self._limit = settings.window
        self._wait_for_queue = settings.unroutable is Unroutable.WAIT
        self._full = Pause(FULL_PAUSE, LONGEST_FULL_PAUSE)
        self._refusals = 0
        self._channel: Any = None
        self._tag = 0

    @property
    def careful(self) -> bool:
        """Whether messages go one at a time, to find the one that the broker refuses."""
        return self._progress.counters["cursor"] < self._progress.careful_until

    @property
    def ready(self) -> bool:
        """Whether there is a channel to send over."""
        return self._channel is not None

    @property
    def paused(self) -> bool:
        """Whether what was refused is not to be tried again yet."""
        return not self._full.over

    def begin(self, channel: Any) -> None:
        """Send over a channel from now on, which gives confirms."""
        self._channel, self._tag, self.stale = channel, 0, False
        self.send()

    def end(self) -> list[Item]:
        """Note that the channel is gone.

        Returns:
            The messages that were in flight, which wait again.
        """
        self._channel = None
        lost = self._progress.window.lose_all()
        self._progress.counters["resent"] += len(lost)
        return lost

    def send(self) -> None:
        """Send what waits, as far as there is room."""
        if not self.ready or self.blocked or self.paused or self.stale:
            return
        try:
            with self._channel.connection.together():
                self._publish(1 if self.careful else self._limit)
        except Errors:  # the connection has just ended, and says so itself
            return

    def _publish(self, limit: int) -> None:
        while item := self._progress.window.next_to_send(limit):
            message = item.message
            assert message is not None  # noqa: S101 -- for the type checker: it waits
            self._channel.basic_publish(
                self._exchange,
                message.routing_key,
                message.body,
                pika.BasicProperties(
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers=message.headers,
                    delivery_mode=2,
                    message_id=message.message_id,
                ),
                mandatory=True,
            )
            self._tag += 1
            self._progress.window.sent(item, self._tag)

    def answered(self, frame: Any) -> None:
        """Take the broker's answer to messages: a confirm, or that it did not take them."""
        method = frame.method
        taken = isinstance(method, pika.spec.Basic.Ack)
        refused = []
        for item in self._progress.window.settle(method.delivery_tag, method.multiple):
            if taken and not (item.unroutable and self._wait_for_queue):
                self._taken(item)
            else:
                refused.append(item)
        if refused:
            topic = refused[0].message.routing_key if refused[0].message else ""
            why = f"no queue takes {topic}" if taken else "a queue is full, or the broker is in trouble (nack)"
            self._hold_back(refused, why)
        self._progress.advance()
        if self._progress.window.in_flight <= self._limit // 2:
            if self._progress.has_more:
                self._progress.refill(self._most)
            self.send()

    def returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        """Note that the broker has no queue for a message; its confirm follows."""
        self._progress.window.note_unroutable((properties.headers or {}).get(SEQ))

    def blame(self, lost: list[Item], why: str) -> bool:
        """Find the message for which the broker closed the channel: one that was alone is at fault.

        Args:
            lost: what was in flight.
            why: in the broker's words.

        Returns:
            Whether sending may go on at once.
        """
        if len(lost) != 1:
            self._progress.careful_until = max([self._progress.careful_until, *(item.first for item in lost)])
            return bool(lost)
        if not lost[0].again:
            if self._refusals >= REFUSALS:
                return False
            self._refusals += 1
        topic = lost[0].message.routing_key if lost[0].message else ""
        self._progress.window.set_aside(lost[0], why)
        self._progress.note_aside(lost[0], Reason.REFUSED_BY_BROKER, why, topic)
        return True

    def _taken(self, item: Item) -> None:
        self._progress.note_confirmed(item)
        self._refusals = 0
        self._well()
        if not self.paused and not self.stale:
            self._limit = min(self._most, self._limit + 1)
            self._full.forget()
            self._condition.become(State.WORKING)

    def _hold_back(self, items: list[Item], why: str) -> None:
        """Try again after a pause, and then with one message alone."""
        self._progress.window.wait_again(items)
        self._progress.counters["resent"] += len(items)
        self._limit, self.stale = 1, True
        if not self.paused:
            self._full.begin()
        self._condition.become(State.REFUSED, why)
