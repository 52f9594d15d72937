"""The peers of inbound or submit: finds them, ends their connections, and makes room for new ones."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from fedmsg_relay import tcp
from fedmsg_relay.network.connected import Connected
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.use import UNKNOWN, own_address
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log


class Peers:
    """The connections of an endpoint. Safe between threads.

    Args:
        name: of each peer, for the log: ``publisher`` or ``submitter``.

    Attributes:
        name: the same.
        connected: the peers that are connected.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.connected = Connected()
        self._host_capacity = max(1, int(self.connected.capacity * limits.ADDRESS_SHARE))
        self._lock = threading.RLock()  # for the peers and their counts
        self._by_descriptor: dict[int, Peer] = {}

    def all(self) -> list[Peer]:
        """Get all peers, also those whose handshake is under way."""
        with self._lock:
            return list(self._by_descriptor.values())

    def find(self, fd: int) -> Peer | None:
        """Find a peer.

        Args:
            fd: its file descriptor.
        """
        return self._by_descriptor.get(fd)

    def add(self, peer: Peer) -> None:
        """Add a new peer.

        Args:
            peer: whose handshake is to come.
        """
        with self._lock:
            self._by_descriptor[peer.fileno()] = peer
            own = UNKNOWN
            with suppress(OSError):
                own = own_address(peer.socket)
            self.connected.came(peer.fileno(), peer.address, own)
        log.info("%s connected %s", self.name, peer.address)

    def end(self, peer: Peer) -> None:
        """Close a connection.

        Args:
            peer: whose.
        """
        with self._lock:
            if peer.gone:
                return
            peer.gone = True
            fd = peer.fileno()
            del self._by_descriptor[fd]
            self.connected.went(fd)
            peer.socket.close()
        log.info("%s disconnected %s", self.name, peer.address)

    def make_room(self, host: str) -> tuple[bool, str]:
        """Tell whether one more peer may come; if there are too many, the most silent one has to go.

        Args:
            host: its IP address.

        Returns:
            Whether it may come, and how many there are if they are too many.
        """
        with self._lock:
            if self.connected.from_host(host) >= self._host_capacity:
                crowded = host
            elif len(self._by_descriptor) >= self.connected.capacity:
                crowded = self.connected.busiest_host
            else:
                return True, ""
            there = (peer for peer in self._by_descriptor.values() if tcp.host_of(peer.address) == crowded)
            silent = min(there, key=lambda peer: peer.heard)
            room = time.monotonic() - silent.heard >= limits.SILENT_SECONDS
            if room:
                self.connected.note_turned_away()
                silent.heard = time.monotonic()  # it goes now; the next one must be another
                with suppress(OSError):
                    silent.socket.shutdown(socket.SHUT_RDWR)
        from_crowded = self.connected.from_host(crowded)
        return room, f"{len(self._by_descriptor)} of {self.connected.capacity}, {from_crowded} from {crowded}"

    def half_close(self, only_quiet: bool) -> None:
        """Ask peers to close without losing what they have sent: they read end of file, close, and their queue waits.

        The relay still reads all that a peer had written, up to its end of file. But a libzmq that is disconnected in
        the middle of a burst forgets the message of which it has written the topic and not yet the body.

        Args:
            only_quiet: leave peers alone that are sending at this moment.
        """
        with self._lock:
            for peer in self._by_descriptor.values():
                if not peer.version or (only_quiet and not tcp.is_quiet(peer.socket)):
                    continue
                with suppress(OSError):
                    peer.socket.shutdown(socket.SHUT_WR)
