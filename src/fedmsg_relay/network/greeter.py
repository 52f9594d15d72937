"""Lets peers in at an endpoint: accepts connections and shakes hands.

A thread of its own does it, so that a peer is greeted however busy the relay's loop is: a stock script waits half a
second for the relay's subscription and then loses its message in silence. And a one-off script is gone in a few
milliseconds; only while it is there can the kernel tell its address.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from fedmsg_relay import tcp
from fedmsg_relay.network import listening, zmtp
from fedmsg_relay.network.handshake import Role
from fedmsg_relay.network.health import is_own
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.peers import Peers
from fedmsg_relay.runtime import limits, threads
from fedmsg_relay.runtime.log import log

ACCEPT_AT_ONCE = 100
"""Connections that are accepted before handshakes go on."""

ACCEPT_PAUSE_SECONDS = 0.2
"""Pause after a connection could not be accepted, as without file descriptors."""

TELL_SECONDS = 10.0
"""Time between two lines in the log that say that peers cannot be let in."""

_NOT_ZEROMQ = "it does not speak ZeroMQ, or left before it did"


class Greeter:
    """Accepts connections and shakes hands until closed. Safe between threads.

    Args:
        peers: where the peers of the endpoint are kept.
        zmtp_role: of our end.
        admit: takes over a peer whose handshake is over; called by the greeter's thread.
    """

    def __init__(self, peers: Peers, zmtp_role: Role, admit: Callable[[Peer], None]) -> None:
        self._peers = peers
        self._zmtp_role = zmtp_role
        self._admit = admit
        self._handshaking: dict[int, Peer] = {}
        self._doors: dict[int, tuple[socket.socket, str]] = {}
        self._next_told = 0.0
        self._closing = self._keeps_out = False
        self._epoll = select.epoll()
        self._woken, self._waker = socket.socketpair()
        self._epoll.register(self._woken, select.EPOLLIN)
        self._thread = threads.start(f"{peers.name}s", self._greet)

    # Opening and closing.

    def bind(self, address: str) -> None:
        """Let peers in at an address.

        Args:
            address: ``tcp://HOST:PORT``, with an IP literal or ``*`` for the host, or ``ipc://PATH``.

        Raises:
            OSError: it cannot be bound.
        """
        door = listening.listen(address)
        self._doors[door.fileno()] = (door, address)
        self._epoll.register(door, select.EPOLLIN)

    def keep_out_newcomers(self) -> None:
        """Let no new peer in, without closing: the kernel drops each try, so the peer tries again.

        A peer that the kernel has let in before, perhaps in this moment, is served like all others.
        """
        self._keeps_out = True
        for door, _ in self._doors.values():
            tcp.require_hops(door, 255)

    def close(self) -> None:
        """Close everything."""
        self._closing = True
        self._waker.send(b"\0")
        self._thread.join()
        for door, address in self._doors.values():
            listening.close(door, address)
        for peer in self._peers.all():
            self._peers.end(peer)
        self._epoll.close()
        self._waker.close()
        self._woken.close()

    # The thread.

    def _greet(self) -> None:
        while not self._closing:
            for fd, _ in self._epoll.poll(1.0):
                if door := self._doors.get(fd):
                    self._accept(door[0])
                elif peer := self._handshaking.get(fd):
                    self._shake_hands(peer)
            self._end_late_handshakes()

    def _accept(self, door: socket.socket) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                connection, name = door.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._tell(log.error, f"{self._peers.name}s cannot be let in: {error.strerror}")
                time.sleep(ACCEPT_PAUSE_SECONDS)
                return
            connection.setblocking(False)
            if self._keeps_out:  # half accepted before the door was closed, it has that option too
                tcp.require_hops(connection, 0)
            peer = Peer(connection, tcp.format_address(name), self._zmtp_role)
            if is_own(peer.address):
                with suppress(OSError), connection:
                    connection.send(peer.handshake.output)
            elif self._make_room(tcp.host_of(peer.address)):
                self._take_in(peer)
            else:
                self._peers.connected.note_turned_away()
                connection.close()

    def _take_in(self, peer: Peer) -> None:
        self._peers.add(peer)
        self._handshaking[peer.fileno()] = peer
        self._epoll.register(peer.socket, select.EPOLLIN)
        self._write(peer)

    def _make_room(self, host: str) -> bool:
        """Tell whether a peer from this host may come."""
        room, crowd = self._peers.make_room(host)
        if crowd:
            name = self._peers.name
            self._tell(log.warning, f"too many {name}s ({crowd}): the most silent ones make room for new ones")
        return room

    def _tell(self, tell: Callable[[str], None], text: str) -> None:
        """Log a line, unless one was logged a moment ago."""
        if time.monotonic() >= self._next_told:
            self._next_told = time.monotonic() + TELL_SECONDS
            tell(text)

    def _shake_hands(self, peer: Peer) -> None:
        try:
            data = peer.socket.recv(limits.GREETING_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._fail(peer, _NOT_ZEROMQ)
            return
        try:
            peer.handshake.feed(data)
        except zmtp.ProtocolError as error:
            self._fail(peer, str(error))
            return
        self._write(peer)
        if peer.handshake.version and not peer.gone:
            self._hand_on(peer)

    def _write(self, peer: Peer) -> None:
        """Send our part of the handshake; a peer that does not even take that is let go."""
        output = peer.handshake.output
        if not output:
            return
        try:
            del output[: peer.socket.send(output)]
        except OSError:
            self._fail(peer, _NOT_ZEROMQ)
            return
        if output:
            self._fail(peer, "it reads nothing")

    def _hand_on(self, peer: Peer) -> None:
        peer.version, peer.rest = peer.handshake.version, peer.handshake.rest
        peer.splitter = zmtp.Splitter(peer.version)
        peer.heard = time.monotonic()
        del self._handshaking[peer.fileno()]
        self._epoll.unregister(peer.socket)
        self._admit(peer)

    def _end_late_handshakes(self) -> None:
        """End handshakes that take too long; the first ones in the dict began first."""
        late = time.monotonic() - limits.GREETING_SECONDS
        while self._handshaking and (peer := next(iter(self._handshaking.values()))).heard < late:
            self._fail(peer, f"its handshake was not over after {limits.GREETING_SECONDS:g} s")

    def _fail(self, peer: Peer, why: str) -> None:
        if peer.gone:
            return
        self._peers.connected.handshake_failed += 1
        log.warning("handshake failed %s: %s", peer.address, why)
        with suppress(OSError, KeyError):
            self._epoll.unregister(peer.socket)
        self._handshaking.pop(peer.fileno(), None)
        self._peers.end(peer)
