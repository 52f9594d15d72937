"""Replies to peers: written as far as each peer takes them; the rest waits for room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fedmsg_relay.network import zmtp
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.readiness import Readiness, wait_for_room
from fedmsg_relay.runtime import limits


class Replies:
    """The bytes that are written to the peers of an endpoint.

    Args:
        readiness: tells when a peer has room again.
        end: ends the connection of a peer, and says why if the peer is at fault.
    """

    def __init__(self, readiness: Readiness, end: Callable[[Peer, str], None]) -> None:
        self._readiness = readiness
        self._end = end
        self._made: dict[Peer, bytearray] = {}

    def add(self, peer: Peer, frames: Sequence[bytes]) -> None:
        """Make a message for a peer; :meth:`flush` sends it.

        Args:
            peer: the peer that gets it.
            frames: the frames of the message.
        """
        self._made.setdefault(peer, bytearray()).extend(zmtp.encode(frames, peer.version))

    def flush(self) -> None:
        """Send all that were made, those of a peer together."""
        for peer, replies in self._made.items():
            self.write(peer, replies)
        self._made.clear()

    def write(self, peer: Peer, data: bytes | bytearray) -> None:
        """Write what waits and what is new, as far as the peer takes it.

        Args:
            peer: the peer that gets it.
            data: what is new.
        """
        if peer.gone:
            return
        waited = bool(peer.unsent)
        try:
            peer.write(data)
        except OSError:
            self._end(peer, "")
            return
        if len(peer.unsent) > limits.UNREAD_BYTES:
            self._end(peer, f"it left {len(peer.unsent)} bytes of answers unread")
        elif peer.unsent and not waited:
            self._readiness.update(peer)

    def write_on(self, peer: Peer) -> None:
        """Write what waits; once nothing waits, stop waking for it.

        Args:
            peer: a peer that has room.
        """
        self.write(peer, b"")
        if not peer.gone and not peer.unsent:
            self._readiness.update(peer)

    def linger(self, peers: Callable[[], list[Peer]], seconds: float) -> None:
        """Give peers some time to take what waits for them.

        Args:
            peers: tells which peers are there.
            seconds: maximum time.
        """
        deadline = time.monotonic() + seconds
        while (waiting := [peer for peer in peers() if peer.unsent]) and time.monotonic() < deadline:
            wait_for_room(waiting, 0.05)
            for peer in waiting:
                self.write(peer, b"")
