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
from fedmsg_relay.bridge.target import Target
from fedmsg_relay.errors import RelayError

PREFETCH = 500
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
        try:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=PREFETCH)
            arrivals: list[Arrival] = []
            tag, look_at = 0, 0.0
            for method, properties, body in channel.consume(self._queue, inactivity_timeout=WAIT_SECONDS):
                self.condition.become(State.WORKING)
                if method is not None:
                    tag = method.delivery_tag
                    if arrival := self._arrival(method, properties, body):
                        arrivals.append(arrival)
                if tag and (method is None or len(arrivals) >= PREFETCH // 2):
                    self.comparison.take(arrivals)
                    channel.basic_ack(tag, multiple=True)
                    arrivals, tag = [], 0
                    self._pause.forget()
                elif method is None and time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_SECONDS
                    if not channel.queue_declare(self._queue, passive=True).method.message_count:
                        self.comparison.note_drained()
                if self._stopping.is_set():
                    break
        finally:
            if connection.is_open:
                connection.close()

    def _arrival(self, method: Any, properties: Any, body: bytes) -> Arrival | None:
        headers = properties.headers or {}
        seq = headers.get(SEQ)
        if headers.get(RELAY) != self._relay or not isinstance(seq, int) or not 0 < seq < _MOST:
            self.foreign += 1
            return None
        message = Outgoing(method.routing_key, body, properties.message_id, headers)
        return Arrival(seq, message, method.redelivered)
