"""An endpoint whose peers send us messages: inbound and submit. It speaks ZMTP on sockets of its own.

A peer that connects is let in by a thread (:mod:`.greeter`) that answers handshakes however busy the relay is. From
then on the relay's loop reads: only as much as it can take in a turn, so TCP holds back a peer that sends more, and
nothing of a peer is in memory but its one unfinished message (:mod:`.unfinished`). It also writes the replies
(:mod:`.replies`). The limits of a peer stand in :mod:`fedmsg_relay.runtime.limits`; a peer that costs more is cut, and
named in the log.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

from fedmsg_relay.network import zmtp
from fedmsg_relay.network.connected import Connected
from fedmsg_relay.network.greeter import Greeter
from fedmsg_relay.network.handshake import Role
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.peers import Peers
from fedmsg_relay.network.readiness import Readiness
from fedmsg_relay.network.replies import Replies
from fedmsg_relay.network.unfinished import Unfinished
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log

CHUNK_BYTES = 64 * 1024
"""Bytes that are read at once from a peer; then the next peer has its turn."""

SMALL_CHUNK_BYTES = 4 * 1024
"""The same for small requests of peers that send one at a time, and when memory is short."""


class Receiver:
    """The peers of one endpoint. Only the relay's loop uses it, unless a method says otherwise.

    Args:
        peer_name: of the endpoint's peers: ``publisher`` or ``submitter``.
        zmtp_role: of our end.
        streams: whether peers send one message after the other, without waiting for answers.

    Attributes:
        peers: the peers.
        greeter: lets them in.
    """

    def __init__(self, peer_name: str, zmtp_role: Role, *, streams: bool) -> None:
        self._readiness = Readiness()
        self._ready: deque[Peer] = deque()
        self._streams = streams
        self._unfinished = Unfinished()
        self._replies = Replies(self._readiness, self._end)
        self.peers = Peers(peer_name)
        self.greeter = Greeter(self.peers, zmtp_role, self._readiness.add)

    @property
    def connected(self) -> Connected:
        """The peers that are connected; any thread may ask."""
        return self.peers.connected

    def bind(self, address: str) -> None:
        """Let peers in at an address.

        Args:
            address: ``tcp://HOST:PORT``, with an IP literal or ``*`` for the host, or ``ipc://PATH``.

        Raises:
            OSError: it cannot be bound.
        """
        self.greeter.bind(address)

    def fileno(self) -> int:
        """A file descriptor that is readable when there is something to do, for poll(2)."""
        return self._readiness.fileno()

    @property
    def has_more(self) -> bool:
        """Whether there may be something to read that :meth:`fileno` does not tell of."""
        return bool(self._ready)

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to do.

        Args:
            seconds: maximum time.

        Returns:
            Whether there is.
        """
        return bool(self._ready) or self._readiness.wait(seconds)

    def receive(self, max_bytes: int, max_frames: int, cut_bytes: int) -> Iterator[tuple[Peer, Sequence[zmtp.Message]]]:
        """Read from peers in turn, as much as a turn takes; never waits.

        Args:
            max_bytes: maximum bytes of a message that is kept; a larger one is a :class:`zmtp.Oversize`.
            max_frames: maximum frames of a message that is kept; one with more is a :class:`zmtp.Oversize`, too.
            cut_bytes: maximum bytes of a message that is read to its end; a peer that sends more is cut.

        Yields:
            A peer, and what it has sent: one message or more.
        """
        self._poll_events()
        looked, until = 0, time.monotonic() + limits.GATHER_SECONDS
        work = frames = taken = 0
        while self._ready and work < limits.TURN_MESSAGES and frames < limits.TURN_FRAMES and taken < limits.TURN_BYTES:
            peer = self._ready.popleft()
            peer.queued = False
            if self._unfinished.waits(peer):
                self._unfinished.hold_back(peer)  # TCP makes it wait
                self._readiness.update(peer)
                continue
            chunk = self._chunk(peer)
            data = self._read(peer, chunk)
            if not data:
                continue
            peer.splitter.work = 0
            held = peer.splitter.held
            try:
                messages = peer.splitter.feed(data, max_bytes, max_frames, cut_bytes)
            except MemoryError:
                self._end(peer, "there is no memory for what it sent")
                continue
            self._unfinished.note(peer, held, finished=bool(messages))
            taken += len(data)
            work += len(messages) + peer.splitter.work
            frames += sum(map(len, messages))
            if messages:
                yield peer, messages
            if peer.splitter.fault:
                self._end(peer, peer.splitter.fault)
                continue
            if peer.splitter.output:
                self._replies.write(peer, peer.splitter.output)
                peer.splitter.output.clear()
            if len(data) == chunk:  # there may be more
                self._queue(peer)
            if not self._ready and taken - looked >= limits.GATHER_BYTES and time.monotonic() < until:
                looked = taken
                self._poll_events()  # so a fast publisher fills a turn, and a turn is one transaction
        if self._unfinished.any_held_back:
            self._see_to_held_back()

    def reply(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Make a message for a peer; :meth:`flush` sends it.

        Args:
            peer: the peer that gets it.
            frames: the frames of the message.

        Returns:
            Whether the peer is still there.
        """
        if not peer.gone:
            self._replies.add(peer, frames)
        return not peer.gone

    def flush(self) -> None:
        """Send all replies, those of a peer together."""
        self._replies.flush()

    def close(self, linger: float = 0.0) -> None:
        """Close all connections.

        Args:
            linger: seconds that peers have to take what waits for them.
        """
        self._replies.linger(self.peers.all, linger)
        self.greeter.close()
        self._readiness.close()

    def _poll_events(self) -> None:
        """Find the peers that have sent something; write what could not be written before."""
        for descriptor, readable, writable in self._readiness.events():
            peer = self.peers.find(descriptor)
            if peer is None:
                continue
            if writable:
                self._replies.write_on(peer)
            if not peer.held_back and (peer.rest or readable):
                self._queue(peer)

    def _queue(self, peer: Peer) -> None:
        if not peer.queued and not peer.gone:
            peer.queued = True
            self._ready.append(peer)

    def _chunk(self, peer: Peer) -> int:
        """How much to read at once."""
        if peer.splitter.held >= SMALL_CHUNK_BYTES:
            return CHUNK_BYTES
        return CHUNK_BYTES if self._streams and not self._unfinished.too_much else SMALL_CHUNK_BYTES

    def _see_to_held_back(self) -> None:
        """Let peers go on if there is room again; cut the peer that they wait for if it does not go on itself."""
        resumed = self._unfinished.resume()
        for peer in resumed:
            peer.heard = time.monotonic()
            self._readiness.update(peer)
            self._queue(peer)
        first = self._unfinished.first
        if not resumed and first is not None and self._unfinished.stalled():
            self._end(first, f"others wait for its message, of which it has sent {first.splitter.held} bytes")

    def _read(self, peer: Peer, size: int) -> bytes:
        if peer.gone:
            return b""
        try:
            data = peer.read(size)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._end(peer)
        peer.heard = time.monotonic()
        return data

    def _end(self, peer: Peer, fault: str = "") -> None:
        """End the connection of a peer; a peer that costs too much is cut, and named in the log.

        Args:
            peer: the peer.
            fault: what it costs too much; empty for a peer that left.
        """
        if peer.gone:
            return
        if fault:
            self.connected.cut += 1
            log.warning("%s cut %s: %s", self.peers.name, peer.address, fault)
        self._unfinished.forget(peer)
        peer.unsent.clear()
        self._readiness.remove(peer)
        self.peers.end(peer)
