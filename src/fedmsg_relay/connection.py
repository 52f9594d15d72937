"""A script's connection to the first relay that answers, and messages over it to inbound.

A stock script connects and sleeps, hoping that the relay's subscription has arrived. Ours connects an XPUB socket,
which shows it the subscription, and sends as soon as it is there. This module is on the path of every one-off script:
it imports only what that needs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import zmq

from fedmsg_relay.errors import ConfigError, NoRelayError
from fedmsg_relay.names import Candidates

HEAD_START = 0.25
"""Seconds an address has to answer before the next one of the list is tried as well."""

LOOK_SECONDS = 0.02
"""How often to look whether a name has been resolved, while relays are being waited for."""

PAUSE_SECONDS, SETTLE_MILLISECONDS = 0.01, 20
"""After a pause this long between two messages, how long to look whether the relay is still there."""

_SUBSCRIBED = b"\x01"

Message = tuple[bytes, bytes]
"""Topic and body."""


class InboundConnection:
    """A connection to the inbound of the first relay that answers.

    Args:
        addresses: of inbound, in order of preference.
        where: where these stand, for messages.
        io_threads: of the ZeroMQ context.
        high_water_mark: messages that may wait to be sent; 0 is libzmq's own default. When so many wait, sending does.
    """

    def __init__(self, addresses: Sequence[str], where: str, io_threads: int = 1, high_water_mark: int = 0) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._where = where
        self._high_water_mark = high_water_mark
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._socket: zmq.Socket[bytes] | None = None
        self._last_sent = 0.0
        self.address = ""

    def send(self, messages: Sequence[Message], timeout: float) -> int | None:
        """Send messages to the relay, connecting first where that is needed.

        Args:
            messages: topic and body of each.
            timeout: seconds for all of it.

        Returns:
            None: inbound gives no receipt.

        Raises:
            NoRelayError: no relay answered, or it took nothing, within the timeout. The message was not sent.
            ConfigError: an address can not be connected to at all.
        """
        deadline = time.monotonic() + timeout
        if self._socket is None or not self._still_subscribed(self._socket):
            self._connect(deadline, timeout)
        assert self._socket is not None  # noqa: S101 -- for the type checker: _connect raises otherwise
        for sent, (topic, body) in enumerate(messages):
            self._socket.sndtimeo = max(1, int((deadline - time.monotonic()) * 1000))
            try:
                self._socket.send_multipart([topic, body])
            except zmq.Again:
                error = NoRelayError(f"the relay at {self.address} took nothing for {timeout:.3g} s; not sent")
                error.sent = sent
                raise error from None
        self._last_sent = time.monotonic()
        return None

    def close(self, timeout: float) -> None:
        """Hand over what is still queued, and close.

        Args:
            timeout: seconds that may take.

        Raises:
            NoRelayError: the relay left, or did not take everything in time: what was sent last may not have arrived.
        """
        connection, self._socket = self._socket, None
        lost = connection is not None and not self._still_subscribed(connection)
        started = time.monotonic()
        if connection is not None:
            connection.close(linger=max(1, int(timeout * 1000)))
        self._context.term()
        if lost or time.monotonic() - started >= timeout:
            raise NoRelayError(
                f"the relay at {self.address} left before it had everything; the last messages may be lost"
            )

    def _connect(self, deadline: float, timeout: float) -> None:
        old, self._socket = self._socket, None
        if old is not None:
            old.close(linger=0)
        kind = Kind(zmq.XPUB, {zmq.XPUB_NODROP: 1, zmq.SNDHWM: self._high_water_mark or 1000})
        self.address, self._socket, unresolved = first_ready(
            self._context, kind, self._addresses, self._where, deadline
        )
        if self._socket is None:
            found = ", ".join(self._addresses)
            why = f"no relay answered within {timeout:.3g} s at {found} ({self._where})"
            raise NoRelayError(f"{why}{unresolved}; not sent")

    def _still_subscribed(self, connection: zmq.Socket[bytes]) -> bool:
        """Take in what the relay's side has said since: False once its subscription went with its connection."""
        subscribed = True
        # After a pause libzmq may have something to catch up with, in several steps of its two threads.
        patience = SETTLE_MILLISECONDS if time.monotonic() - self._last_sent > PAUSE_SECONDS else 0
        while connection.poll(patience):
            subscribed = connection.recv()[:1] == _SUBSCRIBED
        return subscribed


class Kind(NamedTuple):
    """A kind of socket to connect: XPUB is ready with the relay's subscription, DEALER with the handshake."""

    type: int
    options: dict[int, int]


class Reached(NamedTuple):
    """What became of connecting to the first relay that answers.

    Attributes:
        address: the relay's, as it was given; empty if none answered.
        socket: connected to it.
        unresolved: of addresses whose name led nowhere, why; as the end of a sentence.
    """

    address: str
    socket: zmq.Socket[bytes] | None
    unresolved: str = ""


def first_ready(
    context: zmq.Context[zmq.Socket[bytes]], kind: Kind, addresses: Sequence[str], where: str, deadline: float
) -> Reached:
    """Connect to addresses one after the other, without giving up on the earlier ones, until a relay answers at one.

    Their names are looked up all at once, and one that does not resolve holds up none of the others.

    Args:
        context: to open sockets in.
        kind: of these sockets.
        addresses: in order of preference.
        where: where these stand, for messages.
        deadline: ``time.monotonic`` at which to give up.

    Returns:
        The address and its socket; no socket if none answered.

    Raises:
        ConfigError: an address can not be connected to at all.
    """
    candidates = Candidates(addresses)
    candidates.wait_for_first(min(HEAD_START, deadline - time.monotonic()))
    poller = zmq.Poller()
    tried: dict[zmq.Socket[bytes], str] = {}
    next_try = 0.0
    try:
        while (now := time.monotonic()) < deadline:
            if now >= next_try and (candidate := candidates.take()):
                address, numeric = candidate
                opened = _open(context, kind, numeric, where)
                tried[opened] = address
                poller.register(opened, zmq.POLLIN if kind.type == zmq.XPUB else zmq.POLLOUT)
                next_try = now + HEAD_START
            patience = min(deadline - now, max(LOOK_SECONDS, next_try - now)) if candidates.left else deadline - now
            for answered, _ in poller.poll(max(1, int(patience * 1000))):
                if kind.type != zmq.XPUB or answered.recv()[:1] == _SUBSCRIBED:
                    return Reached(tried.pop(answered), answered)
    finally:
        for other in tried:
            other.close(linger=0)
    return Reached("", None, candidates.unresolved())


def _open(context: zmq.Context[zmq.Socket[bytes]], kind: Kind, address: str, where: str) -> zmq.Socket[bytes]:
    opened = context.socket(kind.type)
    # IMMEDIATE: queue for a live connection only, so that a relay's going shows.
    for option, value in {zmq.IPV6: 1, zmq.LINGER: 0, zmq.IMMEDIATE: 1, **kind.options}.items():
        opened.setsockopt(option, value)
    try:
        opened.connect(address)
    except zmq.ZMQError as error:
        opened.close()
        raise ConfigError(f"{where}: can not connect to {address!r}: {error.strerror}") from None
    return opened
