"""Connections to the broker, and what their errors mean."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pika
import pika.exceptions

from fedmsg_relay import __version__
from fedmsg_relay.bridge import target as targets
from fedmsg_relay.bridge.condition import Condition
from fedmsg_relay.bridge.target import Target, node
from fedmsg_relay.errors import RelayError, printable

PAUSE_SECONDS, LONGEST_PAUSE = 0.5, 5.0
"""Pause after the first failure, and the longest one: each is twice the one before."""

HEARTBEAT_SECONDS = 30
"""Interval of signs of life, unless the URL has ``heartbeat=``. A silent broker is noticed after two of them."""

CONNECT_SECONDS = 10.0
"""Maximum time for a connection, and again for the handshake of AMQP."""

PIECE_BYTES = 64 * 1024
"""Bytes of messages that are sent in one piece; a larger message is a piece of its own."""

logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # what matters of it the bridge says itself

Errors = (pika.exceptions.AMQPError, OSError)
"""What a connection may raise."""

_UNDECODABLE = (pika.exceptions.AMQPError, struct.error, ValueError, OverflowError, OSError, RecursionError)

_REFUSED = (pika.exceptions.ProbableAuthenticationError, pika.exceptions.ProbableAccessDeniedError)


class Properties(pika.BasicProperties):  # type: ignore[misc]
    """Properties of a message as they come from the broker, which passes on what pika cannot decode.

    A header may be a time after the year 9999, a number that is not one, or nested a thousand times. Without this class
    such a message ends the connection, again and again. With it the message comes without any properties.

    Attributes:
        size: bytes of them on the wire.
    """

    size = 0

    def decode(self, encoded: bytes, offset: int = 0) -> Properties:
        """Decode what came; called by pika.

        Args:
            encoded: the properties.
            offset: where they begin.
        """
        try:
            super().decode(encoded, offset)
        except _UNDECODABLE:
            self.__init__()  # type: ignore[misc]
        self.size = len(encoded) - offset
        return self


pika.spec.props[Properties.INDEX] = Properties


class Connection(pika.SelectConnection):  # type: ignore[misc]
    """A connection that sends many messages at once: pika makes three system calls for each.

    With a pika that names its method otherwise it is a plain connection.
    """

    _held: list[bytes] | None = None
    _held_bytes = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is published within the block in few pieces, at the latest at its end."""
        self._held = []
        try:
            yield
        finally:
            held, self._held, self._held_bytes = self._held, None, 0
            if held:
                super()._output_marshaled_frames([b"".join(held)])

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        """Send frames, or hold them; called by pika."""
        if self._held is None:
            super()._output_marshaled_frames(marshaled_frames)
            return
        self._held += marshaled_frames
        self._held_bytes += sum(map(len, marshaled_frames))
        if self._held_bytes >= PIECE_BYTES:
            held, self._held, self._held_bytes = self._held, [], 0
            super()._output_marshaled_frames([b"".join(held)])


def tries(target: Target, condition: Condition, pause: Pause, stopping: threading.Event) -> Iterator[str]:
    """Yield the URL of the node to connect to, again and again. The next node is tried at once, and after all a pause.

    Args:
        target: the broker.
        condition: gets the node.
        pause: after a round of all nodes.
        stopping: ends it.
    """
    while not stopping.is_set():
        for url in target.urls:
            if not stopping.is_set():
                condition.node = node(url)
                yield url
        if not stopping.is_set():
            stopping.wait(pause.begin())


def parameters(target: Target, url: str, what: str) -> Any:
    """Make pika's parameters for a node.

    Args:
        target: the broker.
        url: of the node.
        what: the connection is for, as the broker lists it.

    Raises:
        ConfigError: a file for TLS cannot be used.
    """
    made = pika.URLParameters(url)
    if "heartbeat=" not in url:
        made.heartbeat = HEARTBEAT_SECONDS
    made.blocked_connection_timeout = None
    made.socket_timeout = made.stack_timeout = CONNECT_SECONDS
    made.connection_attempts = 1
    made.client_properties = {
        "product": f"fedmsg-relay bridge {__version__}",
        "connection_name": f"fedmsg-relay {what}",
    }
    parts = urlsplit(url)
    if parts.scheme == "amqps":
        made.ssl_options = pika.SSLOptions(targets.context(target), parts.hostname)
        if target.cert:
            made.credentials = pika.credentials.ExternalCredentials()
    return made


def explain(error: BaseException | None) -> str:
    """Say why a connection failed or ended: in the broker's words where it has any.

    Args:
        error: pika's.
    """
    if isinstance(error, RelayError):
        return str(error)
    found = error
    while found is not None:
        if code := getattr(found, "reply_code", None):
            return printable(f"{code} {getattr(found, 'reply_text', '')}")[:300]
        if isinstance(found, _REFUSED):
            said = "".join(str(each).removeprefix("ConnectionClosedByBroker: ") for each in found.args)
            return printable(f"the broker refuses user or vhost: {said or 'it says no more'}")[:300]
        if isinstance(found, (ssl.SSLError, socket.gaierror)):
            return printable(str(found) or repr(found))[:300]
        if isinstance(found, OSError) and found.strerror:
            return printable(found.strerror)
        inner = _inner(found)
        if inner is None:
            break
        found = inner
    return printable(str(found) or repr(found))[:300]


def _inner(error: BaseException) -> BaseException | None:
    """Find the error behind one of pika's, which wraps them several times."""
    for each in (error.args[0] if error.args else None, error.__cause__, getattr(error, "exception", None)):
        if isinstance(each, BaseException):
            return each
    several = getattr(error, "exceptions", None) or (error.args[0] if error.args else None)
    if isinstance(several, (list, tuple)) and several and isinstance(several[-1], BaseException):
        return several[-1]
    return None


class Pause:
    """The pause before the next try."""

    def __init__(self, first: float = PAUSE_SECONDS, longest: float = LONGEST_PAUSE) -> None:
        self._first, self._longest = first, longest
        self._next = first
        self._until = 0.0

    @property
    def over(self) -> bool:
        """Whether the next try may be made."""
        return time.monotonic() >= self._until

    def begin(self) -> float:
        """Begin a pause, twice as long as the one before.

        Returns:
            Its seconds.
        """
        seconds, self._next = self._next, min(2 * self._next, self._longest)
        self._until = time.monotonic() + seconds
        return seconds

    def forget(self) -> None:
        """Let the next pause be the first one again."""
        self._next = self._first
        self._until = 0.0
