"""The way forward: from the journal to the broker, in windows with confirms."""

from __future__ import annotations

import threading
import time
from typing import Any

import pika

from fedmsg_relay.bridge.condition import Condition, State
from fedmsg_relay.bridge.connecting import Errors, Pause, explain, parameters
from fedmsg_relay.bridge.mapping import SEQ, Reason
from fedmsg_relay.bridge.progress import Progress
from fedmsg_relay.bridge.target import Target, node
from fedmsg_relay.bridge.window import Item
from fedmsg_relay.daemon.settings import Unroutable

LOOK_SECONDS = 0.02
"""Interval at which it is looked whether the journal has new messages."""

STOP_SECONDS = 5.0
"""Maximum time that a stop waits for the confirms of what is sent."""

FULL_PAUSE, LONGEST_FULL_PAUSE = 1.0, 60.0
"""Pauses before a message that the broker did not take is tried again: each try is one more copy in other queues."""

REFUSALS = 10
"""Messages in a row that are set aside as the broker refuses them; then it is the broker that is at fault."""

_NOT_FOUND, _FORBIDDEN = 404, 403
_OF_A_MESSAGE = (501, 502)
"""Codes by which a broker closes a connection for what it was sent: errors of frame and syntax."""


class Forward:
    """Publishes to the broker, whatever that does.

    Args:
        target: the broker.
        progress: what is to be sent.
        window: maximum number of messages in flight.
        unroutable: what is done about a message that no queue takes.

    Attributes:
        condition: what it does now.
    """

    def __init__(self, target: Target, progress: Progress, window: int, unroutable: Unroutable) -> None:
        self.condition = Condition("forward")
        self.progress = progress
        self._target = target
        self._most, self._limit = window, window
        self._wait_for_queue = unroutable is Unroutable.WAIT
        self._careful_until = 0
        self._suspect = 0
        self._refusals = 0
        self._pause, self._full = Pause(), Pause(FULL_PAUSE, LONGEST_FULL_PAUSE)
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._connection: Any = None
        self._channel: Any = None
        self._ready = self._blocked = False
        self._tag = 0

    @property
    def careful(self) -> bool:
        """Whether messages go one at a time, to find the one that the broker refuses."""
        oldest = self.progress.window.oldest
        return oldest is not None and oldest.first <= self._careful_until

    def stop(self) -> None:
        """Let :meth:`run` end; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until :meth:`stop`."""
        turn = 0
        while not self._stopping.is_set():
            url = self._target.urls[turn % len(self._target.urls)]
            turn += 1
            self._work_with(url)
            # The other nodes are tried at once.
            seconds = self._pause.begin() if turn % len(self._target.urls) == 0 else 0.0
            self._stopping.wait(seconds)
        self.progress.commit()
        self.condition.become(State.STOPPED)

    def _work_with(self, url: str) -> None:
        """Work with one node for as long as it answers."""
        self.condition.node = node(url)
        self._connection = pika.SelectConnection(
            parameters(self._target, url, "forward"),
            on_open_callback=lambda _: self._open_channel(),
            on_open_error_callback=lambda _, error: self._ended(error),
            on_close_callback=lambda _, error: self._ended(error),
        )
        self._connection.add_on_connection_blocked_callback(lambda _, frame: self._block(frame.method.reason))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._unblock())
        self._tick()
        try:
            self._connection.ioloop.start()
        finally:
            self._connection.ioloop.close()

    # The connection and its channel.

    def _open_channel(self) -> None:
        self._channel = self._connection.channel(on_open_callback=self._find_exchange)
        self._channel.add_on_close_callback(self._channel_closed)
        self._channel.add_on_return_callback(self._returned)

    def _find_exchange(self, channel: Any) -> None:
        channel.exchange_declare(self._target.exchange, passive=True, callback=lambda _: self._want_confirms(channel))

    def _want_confirms(self, channel: Any) -> None:
        self._tag = 0
        channel.confirm_delivery(self._answered, callback=lambda _: self._begin())

    def _begin(self) -> None:
        self._ready = True
        self.condition.become(State.WORKING)
        self._send()

    def _channel_closed(self, _: Any, error: BaseException) -> None:
        """The broker closed the channel: it does not say for which message."""
        self._ready, self._channel = False, None
        if not self._connection.is_open:
            return  # _ended() follows
        code, text = getattr(error, "reply_code", 0), explain(error)
        lost = self._lose()
        topic = "access to topic" in text
        if code == _NOT_FOUND or (code == _FORBIDDEN and not topic) or not lost or not self._blame(lost, text):
            self.condition.become(State.WAITING, text)
            self._pause.begin()

    def _ended(self, error: BaseException) -> None:
        """The connection is over, or never began."""
        self._ready, self._channel, self._blocked = False, None, False
        lost = self._lose()
        if lost and getattr(error, "reply_code", 0) in _OF_A_MESSAGE:
            self._blame(lost, explain(error))
        if not self._stopping.is_set():
            self.condition.become(State.CONNECTING, explain(error))
        self._connection.ioloop.stop()

    def _block(self, reason: str) -> None:
        self._blocked = True
        self.condition.become(State.BLOCKED, f"the broker takes nothing: {reason}")

    def _unblock(self) -> None:
        self._blocked = False
        self.condition.become(State.WORKING)

    # Messages.

    def _tick(self) -> None:
        if not self._stopping.is_set():
            self.progress.refill(self._most)
        self.progress.commit()
        if self._stopping.is_set():
            self._stop()
        elif self._ready:
            self._send()
        elif self._channel is None and self._connection.is_open and self._pause.over:
            self._open_channel()
        self._connection.ioloop.call_later(LOOK_SECONDS, self._tick)

    def _stop(self) -> None:
        """Wait for the last confirms, and close."""
        self._stop_at = self._stop_at or time.monotonic() + STOP_SECONDS
        if self.progress.window.in_flight and self._ready and time.monotonic() < self._stop_at:
            return
        if self._connection.is_open:
            self._connection.close()
        elif time.monotonic() >= self._stop_at or not self._connection.is_closing:
            self._connection.ioloop.stop()

    def _send(self) -> None:
        if not self._ready or self._blocked or self._stopping.is_set() or not self._full.over:
            return
        limit = 1 if self.careful else self._limit
        try:
            while item := self.progress.window.next_to_send(limit):
                message = item.message
                assert message is not None  # noqa: S101 -- for the type checker: it waits
                self._channel.basic_publish(
                    self._target.exchange,
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
                self.progress.window.sent(item, self._tag)
        except Errors:  # the connection has just ended, and says so itself
            self._ready = False

    def _answered(self, frame: Any) -> None:
        method = frame.method
        taken = isinstance(method, pika.spec.Basic.Ack)
        refused = []
        for item in self.progress.window.settle(method.delivery_tag, method.multiple):
            if taken and not (item.unroutable and self._wait_for_queue):
                self._taken(item)
            else:
                refused.append(item)
        if refused:
            unroutable = refused[0].unroutable and taken
            topic = refused[0].message.routing_key if refused[0].message else ""
            why = f"no queue takes {topic}" if unroutable else "a queue is full, or the broker is in trouble (nack)"
            self._hold_back(refused, why)
        self.progress.advance()
        if self.progress.window.in_flight <= self._limit // 2:
            if self.progress.has_more:
                self.progress.refill(self._most)
            self._send()

    def _taken(self, item: Item) -> None:
        self.progress.note_confirmed(item)
        self._refusals = 0
        self._pause.forget()
        if self._full.over:
            self._limit = min(self._most, self._limit + 1)
            self._full.forget()
            self.condition.become(State.WORKING)

    def _hold_back(self, items: list[Item], why: str) -> None:
        """Try again after a pause, and then with one message alone."""
        self.progress.window.wait_again(items)
        self.progress.counters["resent"] += len(items)
        self._limit = 1
        if self._full.over:
            self._full.begin()
        self.condition.become(State.REFUSED, why)

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        """The broker has no queue for a message; its confirm follows."""
        self.progress.window.note_unroutable((properties.headers or {}).get(SEQ))

    def _lose(self) -> list[Item]:
        lost = self.progress.window.lose_all()
        self.progress.counters["resent"] += len(lost)
        return lost

    def _blame(self, lost: list[Item], why: str) -> bool:
        """Find the message for which the broker closed: one that was alone is at fault.

        Returns:
            Whether sending may go on at once.
        """
        if len(lost) > 1:
            self._careful_until = lost[-1].first
            return True
        if self._refusals >= REFUSALS:
            return False
        self._refusals += 1
        topic = lost[0].message.routing_key if lost[0].message else ""
        self.progress.window.set_aside(lost[0], why)
        self.progress.note_aside(lost[0], Reason.REFUSED_BY_BROKER, why, topic)
        return True
