"""The way forward: the connection to the broker, and its channel, for the messages of the journal."""

from __future__ import annotations

import threading
import time
from typing import Any

import pika.exceptions

from fedmsg_relay.bridge.condition import Condition, State
from fedmsg_relay.bridge.connecting import Connection, Errors, Pause, explain, parameters, tries
from fedmsg_relay.bridge.progress import Progress
from fedmsg_relay.bridge.sending import Sending
from fedmsg_relay.bridge.target import Target
from fedmsg_relay.daemon.settings import Bridge
from fedmsg_relay.errors import RelayError

LOOK_SECONDS = 0.02
"""Interval at which it is looked whether the journal has new messages."""

STOP_SECONDS = 5.0
"""Maximum time that a stop waits for the confirms of what is sent."""

_NOT_FOUND, _FORBIDDEN = 404, 403
_OF_A_MESSAGE = (501, 502)
"""Codes by which a broker closes a connection for what it was sent: errors of frame and syntax."""


class Forward:
    """Publishes to the broker, whatever that does.

    Args:
        target: the broker.
        progress: what is to be sent.
        settings: ``[bridge]`` of relay.toml.

    Attributes:
        condition: what it does now.
        progress: what was sent, and what is to be.
        sending: what is in flight.
    """

    def __init__(self, target: Target, progress: Progress, settings: Bridge) -> None:
        self.condition = Condition("forward")
        self.progress = progress
        self._target = target
        self._room = settings.window
        self._pause = Pause()
        self.sending = Sending(target.exchange, progress, settings, self.condition, self._pause.forget)
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._connection: Any = None
        self._channel: Any = None

    def stop(self) -> None:
        """Let :meth:`run` end; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until :meth:`stop`."""
        for url in tries(self._target, self.condition, self._pause, self._stopping):
            try:
                self._work_with(url)
            except (*Errors, RelayError) as error:  # such as a certificate that is just being renewed
                self._lose(error)
        self.progress.commit()
        self.condition.become(State.STOPPED)

    def _work_with(self, url: str) -> None:
        """Work with one node for as long as it answers."""
        self._connection = Connection(
            parameters(self._target, url, "forward"),
            on_open_callback=lambda _: self._open_channel(),
            on_open_error_callback=lambda _, error: self._ended(error),
            on_close_callback=lambda _, error: self._ended(error),
        )
        self._connection.add_on_connection_blocked_callback(lambda _, frame: self._block(frame.method.reason))
        self._connection.add_on_connection_unblocked_callback(lambda *_: self._unblock())
        try:
            self._tick()
            self._connection.ioloop.start()
        finally:
            self._connection.ioloop.close()

    # The connection and its channel.

    def _open_channel(self) -> None:
        self._channel = self._connection.channel(on_open_callback=self._find_exchange)
        self._channel.add_on_close_callback(self._channel_closed)
        self._channel.add_on_return_callback(self.sending.returned)

    def _find_exchange(self, channel: Any) -> None:
        channel.exchange_declare(self._target.exchange, passive=True, callback=lambda _: self._want_confirms(channel))

    def _want_confirms(self, channel: Any) -> None:
        channel.confirm_delivery(self.sending.answered, callback=lambda _: self._begin(channel))

    def _begin(self, channel: Any) -> None:
        if self.condition.state is not State.REFUSED:
            self.condition.become(State.WORKING)
        self.sending.begin(channel)

    def _channel_closed(self, _: Any, error: BaseException) -> None:
        """The broker closed the channel: it does not say for which message."""
        self._channel = None
        if not self._connection.is_open:
            return  # _ended() follows
        lost = self.sending.end()
        if isinstance(error, pika.exceptions.ChannelClosedByClient):
            return
        code, text = getattr(error, "reply_code", 0), explain(error)
        of_exchange = code == _NOT_FOUND or (code == _FORBIDDEN and "access to topic" not in text)
        if of_exchange or not self.sending.blame(lost, text):
            self.condition.become(State.WAITING, text)
            self._pause.begin()

    def _ended(self, error: BaseException) -> None:
        """The connection is over, or never began."""
        self._lose(error)
        self._connection.ioloop.stop()

    def _lose(self, error: BaseException) -> None:
        """Let what was in flight wait for the next connection."""
        self._channel, self.sending.blocked = None, False
        lost = self.sending.end()
        if lost and getattr(error, "reply_code", 0) in _OF_A_MESSAGE:
            self.sending.blame(lost, explain(error))
        if not self._stopping.is_set():
            self.condition.become(State.CONNECTING, explain(error))

    def _block(self, reason: str) -> None:
        self.sending.blocked = True
        self.condition.become(State.BLOCKED, f"the broker takes nothing: {reason}")

    def _unblock(self) -> None:
        self.sending.blocked = False
        self.condition.become(State.WORKING)

    # The loop.

    def _tick(self) -> None:
        if self._stopping.is_set():
            self._stop()
        else:
            self.progress.refill(self._room)
        self.progress.commit()
        if self.sending.stale and self.sending.ready and not self.sending.paused and self._channel.is_open:
            self._channel.close()  # and another one is opened
        elif self.sending.ready and not self._stopping.is_set():
            self.sending.send()
        elif self._channel is None and self._connection.is_open and self._pause.over:
            self._open_channel()
        self._connection.ioloop.call_later(LOOK_SECONDS, self._tick)

    def _stop(self) -> None:
        """Wait for the last confirms, and close."""
        self._stop_at = self._stop_at or time.monotonic() + STOP_SECONDS
        if self.progress.window.in_flight and self.sending.ready and time.monotonic() < self._stop_at:
            return
        if self._connection.is_open:
            self._connection.close()
        elif time.monotonic() >= self._stop_at or not self._connection.is_closing:
            self._connection.ioloop.stop()
