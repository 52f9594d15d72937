"""The tap: takes every message from a queue of its own, for the comparison."""

from __future__ import annotations

import threading
import time
from typing import Any

import pika

from fedmsg_relay.bridge.comparison import Arrival, Comparison
from fedmsg_relay.bridge.condition import Condition, State
from fedmsg_relay.bridge.connecting import Errors, Pause, explain, parameters, tries
from fedmsg_relay.bridge.mapping import RELAY, SEQ, Outgoing
from fedmsg_relay.bridge.taking import PREFETCH, Taken, batches
from fedmsg_relay.bridge.target import Target
from fedmsg_relay.errors import RelayError

WAIT_SECONDS = 0.2
"""Time without a further message after which those in hand are compared."""

LOOK_SECONDS = 1.0
"""Interval at which it is looked whether the queue is empty."""

_MOST = 2**62


class Tap:
    """Watches a queue.

    Args:
        target: the broker.
        queue: its queue, which nobody else takes from.
        comparison: gets what arrives.
        relay: identity of the relay.

    Attributes:
        condition: what it does now.
        foreign: messages of others.
    """

    def __init__(self, target: Target, queue: str, comparison: Comparison, relay: str) -> None:
        self.condition = Condition("tap")
        self.comparison = comparison
        self.foreign = 0
        self._target = target
        self._queue = queue
        self._relay = relay
        self._pause = Pause()
        self._stopping = threading.Event()
        self._empty_at = 0.0  # when the broker said that nothing waits; 0 if it has not
        self._since = 0  # messages that were taken since then

    def stop(self) -> None:
        """Let :meth:`run` end; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until :meth:`stop`."""
        for url in tries(self._target, self.condition, self._pause, self._stopping):
            try:
                self._work_with(url)
            except (*Errors, RelayError) as error:
                self.condition.become(State.CONNECTING, explain(error))
        self.condition.become(State.STOPPED)

    def _work_with(self, url: str) -> None:
        connection = pika.BlockingConnection(parameters(self._target, url, "tap"))
        look_at = self._empty_at = 0.0
        try:
            channel = connection.channel()
            for batch in batches(channel, self._queue, WAIT_SECONDS, self._stopping):
                self.condition.become(State.WORKING)
                if batch:
                    self.comparison.take([arrival for taken in batch if (arrival := self._arrival(taken))])
                    channel.basic_ack(batch[-1].method.delivery_tag, multiple=True)
                    self._pause.forget()
                    self._since += len(batch)
                # What came before the answer has been taken by then: at most PREFETCH messages are not acknowledged.
                if self._empty_at:
                    if not batch or self._since >= PREFETCH:
                        self.comparison.note_drained(self._empty_at)
                        self._empty_at = 0.0
                elif time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_SECONDS
                    self._ask(channel)
                if self._stopping.is_set():
                    break
        finally:
            if connection.is_open:
                connection.close()

    def _ask(self, channel: Any) -> None:
        """Ask how many messages wait in the queue. The answer comes after all that the broker has sent until then.

        It is asked of the channel below pika's blocking one, which would read all of these into memory first.
        """

        def answer(frame: Any) -> None:
            self._empty_at = 0.0 if frame.method.message_count else time.monotonic()
            self._since = 0

        channel._impl.queue_declare(self._queue, passive=True, callback=answer)

    def _arrival(self, taken: Taken) -> Arrival | None:
        headers = taken.properties.headers or {}
        seq = headers.get(SEQ)
        if headers.get(RELAY) != self._relay or not isinstance(seq, int) or not 0 < seq < _MOST:
            self.foreign += 1
            return None
        message = Outgoing(taken.method.routing_key, taken.body, taken.properties.message_id, headers)
        return Arrival(seq, message, taken.method.redelivered)
