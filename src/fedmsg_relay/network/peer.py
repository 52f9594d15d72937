"""A peer: one connection that inbound or submit has accepted."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from fedmsg_relay import tcp
from fedmsg_relay.network import zmtp
from fedmsg_relay.network.handshake import Handshake, Role


class Peer:
    """One connection, from its acceptance on.

    Attributes:
        socket: the connection.
        address: of the peer.
        ip: its IP address; empty for ipc.
        heard: ``time.monotonic`` when it last sent something.
        version: of ZMTP; 0 while the handshake is under way.
        splitter: cuts its bytes into messages.
        rest: bytes that came behind its handshake and have not been read yet.
        unsent: bytes that it has not taken yet.
        queued: whether it waits for its turn to be read.
        held_back: whether nothing of it is read for now (:mod:`.unfinished`).
        gone: whether the connection is closed.
    """

    __slots__ = (
        "address",
        "gone",
        "handshake",
        "heard",
        "held_back",
        "ip",
        "queued",
        "rest",
        "socket",
        "splitter",
        "unsent",
        "version",
    )

    def __init__(self, connection: socket.socket, address: str, role: Role) -> None:
        self.socket = connection
        self.address = address
        self.ip = tcp.ip_of(address)
        self.heard = time.monotonic()
        self.version = 0
        self.handshake = Handshake(role)
        self.splitter = zmtp.Splitter(0)
        self.rest = b""
        self.unsent = bytearray()
        self.gone = self.queued = self.held_back = False

    def fileno(self) -> int:
        """The connection's file descriptor; -1 once it is closed."""
        return self.socket.fileno()

    def read(self, size: int) -> bytes:
        """Read what has come.

        Args:
            size: maximum number of bytes.

        Returns:
            The bytes; none once it has closed.

        Raises:
            BlockingIOError: nothing has come.
            OSError: the connection is broken.
        """
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        return self.socket.recv(size)

    def write(self, data: bytes | bytearray) -> None:
        """Write what waits and what is new, as far as it takes it; the rest is ``unsent``.

        Args:
            data: what is new.

        Raises:
            OSError: the connection is broken.
        """
        self.unsent += data
        with suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.socket.send(self.unsent)]
