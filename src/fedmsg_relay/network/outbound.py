"""Outbound: the socket that listeners connect to, and what is known of each of them.

A listener that does not keep up must not delay the others. libzmq keeps ``SEND_QUEUE`` messages for each listener
and then drops the next ones for that listener. The relay lets it, but not at once and not in silence. When a queue is
full, it first waits a little, as a burst may only have outrun libzmq's own thread. Then it names the listener whose
connection does not move.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

import zmq
import zmq.backend

from fedmsg_relay.network.laggards import Laggards
from fedmsg_relay.network.listeners import Listeners, source
from fedmsg_relay.runtime import limits

SEND_QUEUE = 10_000
"""Maximum number of messages that libzmq keeps for a slow listener."""

PATIENCE_SECONDS = 0.2
"""Maximum time that a full queue holds up publishing at once."""

PATIENCE_SHARE = 0.1
"""Maximum share of all time that full queues hold up publishing: nothing waits for a listener that is always slow."""

_FIRST = int(zmq.SNDMORE | zmq.DONTWAIT)
_send = zmq.backend.Socket.send
"""Made once: for each message, combining the enums or the wrapper of pyzmq's ``send`` takes as long as sending."""

SETTLE_SECONDS = 0.1
"""Time without a subscription after which a listener has subscribed to all its topics."""

MIRROR = b"fedmsg-relay-mirror."
"""Beginning of a topic that a chained relay subscribes to besides everything, by which it asks whether it is heard."""


class Outbound:
    """The outbound socket, with a ZeroMQ context of its own, whose threads have nothing else to do.

    Args:
        linger: seconds that listeners have, at the end, to take what is queued for them.
    """

    def __init__(self, linger: float) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.XPUB)
        for option, value in {
            zmq.IPV6: 1,
            zmq.BACKLOG: 4096,
            zmq.TCP_KEEPALIVE: 1,
            zmq.TCP_KEEPALIVE_IDLE: 60,
            zmq.TCP_KEEPALIVE_INTVL: 20,
            zmq.SNDHWM: SEND_QUEUE,
            zmq.RCVHWM: 0,  # what may come is bounded by Inflow; at a limit here a PING could end the process
            zmq.MAXMSGSIZE: 65536,  # what listeners send are subscriptions
            zmq.LINGER: int(linger * 1000),
            zmq.XPUB_VERBOSE: 1,
            zmq.XPUB_NODROP: 1,
        }.items():
            self.socket.setsockopt(option, value)
        self.listeners = Listeners(self.socket)
        self.published = 0
        self.laggards = Laggards(self.listeners)
        self._patience = PATIENCE_SECONDS
        self._refilled = time.monotonic()
        self._subscribed: dict[int, str] = {}
        """Address of the connection that last subscribed, by its file descriptor."""
        self._unplaced = 0
        """Subscriptions of which libzmq does not say whose they are: it speaks ZMTP 1 or 2 with them."""
        self._last_subscribed = 0.0
        self.subscriptions = 0
        self._mirrors: set[bytes] = set()

    def bind(self, address: str) -> None:
        """Let listeners connect at an address.

        Args:
            address: for :func:`zmq_bind`.

        Raises:
            OSError: it cannot be bound.
        """
        self.listeners.expect_at(address)
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror) from error

    def publish(self, topic: bytes, body: bytes) -> None:
        """Hand one message to every listener whose queue has room.

        Args:
            topic: first frame.
            body: second frame.
        """
        self.publish_all([(topic, body)])

    def publish_all(self, messages: Iterable[tuple[bytes, bytes]]) -> None:
        """Do the same for messages, in their order.

        Args:
            messages: topic and body of each.
        """
        send, outbound = _send, self.socket  # looked up once: each look-up counts here
        for topic, body in messages:
            try:
                send(outbound, topic, _FIRST)
            except zmq.Again:
                self._send_past_a_full_queue(topic)
            send(outbound, body)
            self.published += 1

    def update(self) -> None:
        """Take in subscriptions, and look after laggards; never waits."""
        for _ in range(limits.TURN_SUBSCRIPTIONS):
            if not self.socket.poll(0):
                break
            frame = self.socket.recv(copy=False)
            subscribed, topic = frame.bytes[:1] == b"\x01", frame.bytes[1:]
            if topic.startswith(MIRROR):
                (self._mirrors.add if subscribed else self._mirrors.discard)(topic)
            elif subscribed:
                self._note_subscribed(source(frame))
        self.laggards.check(self.published)

    def returned(self, expected: Sequence[str]) -> bool:
        """Tell whether listeners are back.

        Args:
            expected: from :meth:`hosts`.

        Returns:
            True when as many connections of each place have subscribed, and nobody goes on subscribing. Where only an
            IP address is noted, a connection from it to any port counts.
        """
        if time.monotonic() - self._last_subscribed < SETTLE_SECONDS:
            return False
        back = self.hosts()
        exact = [place for place in expected if _AT in place]
        return Counter(exact) <= Counter(back) and Counter(map(_host, expected)) <= Counter(map(_host, back))

    def mirrored_by(self, subscription: bytes) -> bool:
        """Tell whether a chained relay listens.

        Args:
            subscription: its own, that begins with :data:`MIRROR`.

        Returns:
            True if this, and so what it subscribed to before, is in force.
        """
        return subscription in self._mirrors

    def hosts(self) -> list[str]:
        """Where listeners connected from and to, such as ``10.5.126.12 at port 3999``, for each that has subscribed.

        With ZMTP 1 and 2 it is ``unknown``. The port tells a listener that is back from a new one of the same host.
        """
        connections = self.listeners.connected.use.connections()
        placed = [(peer, own) for fd, (peer, own) in connections.items() if self._subscribed.get(fd) == peer]
        unplaced = min(self._unplaced, len(connections) - len(placed))
        return [_place(peer, own) for peer, own in placed] + ["unknown"] * unplaced

    def close(self) -> None:
        """Close, after lingering."""
        if self._context.closed:
            return
        self.listeners.close()
        self.socket.close()
        self._context.term()

    def _note_subscribed(self, connection: tuple[int, str] | None) -> None:
        self.subscriptions += 1
        self._last_subscribed = time.monotonic()
        if connection is None:
            self._unplaced += 1
        else:
            fd, address = connection
            self._subscribed[fd] = address

    def _send_past_a_full_queue(self, topic: bytes) -> None:
        """Wait a little for the full queue, then send to all others."""
        started = time.monotonic()
        before = self.laggards.flows()
        self._patience = min(PATIENCE_SECONDS, self._patience + (started - self._refilled) * PATIENCE_SHARE)
        try:
            self.socket.sndtimeo = max(1, int(self._patience * 1000))
            self.socket.send(topic, zmq.SNDMORE)
        except zmq.Again:
            self.laggards.find(before, self.published)
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            self.socket.send(topic, zmq.SNDMORE)
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        finally:
            self.socket.sndtimeo = -1
            self._refilled = time.monotonic()
            self._patience = max(0.0, self._patience - (self._refilled - started))


_AT = " at port "


def _place(peer: str, own: str) -> str:
    """Where a listener connected from and to."""
    host = peer.rpartition(":")[0].strip("[]")
    return f"{host}{_AT}{own.rpartition(':')[2]}" if host else peer


def _host(place: str) -> str:
    return place.partition(_AT)[0]
