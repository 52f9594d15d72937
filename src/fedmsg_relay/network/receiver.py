"""An endpoint whose peers send us messages: inbound and submit. It speaks ZMTP on sockets of its own.

A peer that connects is let in by a thread (:mod:`.greeter`) that answers handshakes however busy the relay is. From
then on the relay's loop reads: only as much as it can take in a turn, so TCP holds back a peer that sends more, and
nothing of a peer is in memory but its one unfinished message (:mod:`.unfinished`). What a peer may cost stands in
:mod:`fedmsg_relay.runtime.limits`; a peer that costs more is cut, and named in the log.
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
from fedmsg_relay.network.readiness import Readiness, wait_for_room
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
        greeter: lets the peers in.
    """

    def __init__(self, peer_name: str, zmtp_role: Role, *, streams: bool) -> None:
        self._peer_name = peer_name
        self._readiness = Readiness()
        self._ready: deque[Peer] = deque()
        self._streams = streams
        self._unfinished = Unfinished()
        self._replies: dict[Peer, bytearray] = {}
        self.greeter = Greeter(peer_name, zmtp_role, self._readiness.add)

    @property
    def connected(self) -> Connected:
        """Who is connected; any thread may ask."""
        return self.greeter.connected

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
        work = taken = 0
        while self._ready and work < limits.TURN_MESSAGES and taken < limits.TURN_BYTES:
            peer = self._ready.popleft()
            peer.queued = False
            if self._unfinished.waits(peer):
                self._unfinished.hold_back(peer)  # TCP makes it wait
                self._update_interest(peer)
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
                self._cut(peer, "there is no memory for what it sent")
                continue
            self._unfinished.note(peer, held, finished=bool(messages))
            taken += len(data)
            work += len(messages) + peer.splitter.work
            if messages:
                yield peer, messages
            if peer.splitter.fault:
                self._cut(peer, peer.splitter.fault)
                continue
            if peer.splitter.output:
                self._send_pong(peer)
            if len(data) == chunk:  # there may be more
                self._queue(peer)
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
            self._replies.setdefault(peer, bytearray()).extend(zmtp.encode(frames, peer.version))
        return not peer.gone

    def flush(self) -> None:
        """Send all replies, those of a peer together."""
        for peer, replies in self._replies.items():
            self._send(peer, replies)
        self._replies.clear()

    def abandon(self, seconds: float) -> int:
        """Count messages of peers that are dropped unread; there may be more than can be counted in time.

        Args:
            seconds: maximum time.
        """
        count, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = list(self.receive(limits.MIN_REQUEST_BYTES, limits.MAX_FRAMES, limits.MIN_CUT_BYTES))
            count += sum(len(messages) for _, messages in found)
            if not self._ready and not found:
                break
        return count

    def close(self, linger: float = 0.0) -> None:
        """Close all connections.

        Args:
            linger: seconds that peers have to take what waits for them.
        """
        deadline = time.monotonic() + linger
        while (waiting := [peer for peer in self.greeter.peers() if peer.unsent]) and time.monotonic() < deadline:
            wait_for_room(waiting, 0.05)
            for peer in waiting:
                self._send(peer, b"")
        self.greeter.close()
        self._readiness.close()

    def _poll_events(self) -> None:
        """Find the peers that have sent something; write what could not be written before."""
        for descriptor, readable, writable in self._readiness.events():
            peer = self.greeter.peer(descriptor)
            if peer is None:
                continue
            if writable:
                self._write_on(peer)
            if not self._unfinished.is_held_back(peer) and (peer.rest or readable):
                self._queue(peer)

    def _write_on(self, peer: Peer) -> None:
        """Write what waits; once nothing waits, stop waking for it."""
        self._send(peer, b"")
        if not peer.gone and not peer.unsent:
            self._update_interest(peer)

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
        released = self._unfinished.release()
        for peer in released:
            peer.heard = time.monotonic()
            self._update_interest(peer)
            self._queue(peer)
        first = self._unfinished.first
        if not released and first is not None and self._unfinished.stalled():
            self._cut(first, f"others wait for its message, of which it has sent {first.splitter.held} bytes")

    def _update_interest(self, peer: Peer) -> None:
        """Wake for bytes of the peer, unless it is held back, and for room to write if that is needed."""
        self._readiness.update(peer, reading=not self._unfinished.is_held_back(peer))

    def _read(self, peer: Peer, size: int) -> bytes:
        if peer.gone:
            return b""
        try:
            if peer.rest:
                data, peer.rest = peer.rest, b""
            else:
                data = peer.socket.recv(size)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
        peer.heard = time.monotonic()
        return data

    def _send_pong(self, peer: Peer) -> None:
        self._send(peer, peer.splitter.output)
        peer.splitter.output.clear()

    def _send(self, peer: Peer, data: bytes | bytearray) -> None:
        """Write what waits and what is new, as far as the peer takes it."""
        if peer.gone:
            return
        waited = bool(peer.unsent)
        peer.unsent += data
        try:
            while peer.unsent:
                del peer.unsent[: peer.socket.send(peer.unsent)]
        except BlockingIOError:
            if len(peer.unsent) > limits.UNREAD_BYTES:
                self._cut(peer, f"it left {len(peer.unsent)} bytes of answers unread")
            elif not waited:
                self._update_interest(peer)
        except OSError:
            self._drop(peer)

    def _cut(self, peer: Peer, why: str) -> None:
        """End the connection of a peer that costs too much, and name it in the log."""
        if peer.gone:
            return
        self.greeter.connected.cut += 1
        log.warning("%s cut %s: %s", self._peer_name, peer.address, why)
        self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        if peer.gone:
            return
        self._unfinished.forget(peer)
        peer.unsent.clear()
        self._readiness.remove(peer)
        self.greeter.forget(peer)
