"""Who is connected, as libzmq's socket monitor tells it (zmq_socket_monitor(3))."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection

import zmq

from fedmsg_relay.log import log

_ACCEPTED = zmq.Event.ACCEPTED
_GONE = {zmq.Event.DISCONNECTED, zmq.Event.CLOSED}
_HANDSHAKE_FAILED = {
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_AUTH,
}
_EVENTS = _ACCEPTED | zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
_EVENTS |= zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_AUTH


class Peers:
    """The connections of one bound socket.

    Args:
        bound: the socket to watch.
        role: what its peers are: ``publisher`` or ``listener``.
    """

    def __init__(self, bound: zmq.Socket[bytes], role: str) -> None:
        self.role = role
        self.accepted = 0
        self.closed = 0
        self.handshake_failed = 0
        self._bound = bound
        self._by_fd: dict[int, str] = {}
        self._failed = False
        self.monitor: zmq.Socket[bytes] = bound.get_monitor_socket(_EVENTS)

    @property
    def addresses(self) -> list[str]:
        """Addresses of the peers connected now, such as ``10.5.126.12:41234``."""
        return sorted(self._by_fd.copy().values())

    def update(self) -> None:
        """Take in what the monitor has to say, without waiting; one log line for each peer that came or went."""
        while True:
            try:
                event, value = struct.unpack("=hi", self.monitor.recv(zmq.DONTWAIT))
            except zmq.Again:
                return
            self.monitor.recv()  # the second frame, our own address
            if event == _ACCEPTED:
                self._came(value)
            elif event in _HANDSHAKE_FAILED:
                self.handshake_failed += 1
                self._failed = True  # libzmq says at once, with DISCONNECTED, whose it was
            elif event in _GONE:
                self._went(value)

    def half_close(self) -> None:
        """Ask every peer to close, without losing what it has sent: it reads end of file, closes, and its queue waits.

        The kernel still delivers what the peer had written, up to its own end of file, which :meth:`update` sees.
        """
        for fd in list(self._by_fd):
            try:
                with socket.socket(fileno=os.dup(fd)) as connection:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                continue  # gone in this very moment; the monitor will say so

    def close(self) -> None:
        """Stop watching. To be called before the bound socket is closed."""
        self._bound.disable_monitor()
        self.monitor.close()

    def _came(self, fd: int) -> None:
        self.accepted += 1
        self._by_fd[fd] = address = _address(fd)
        log.info("%s connected %s", self.role, address)

    def _went(self, fd: int) -> None:
        self.closed += 1
        address = self._by_fd.pop(fd, "unknown")
        if self._failed:
            self._failed = False
            log.warning("handshake failed %s: it does not speak ZeroMQ, or left before it did", address)
        log.info("%s disconnected %s", self.role, address)


def _address(fd: int) -> str:
    """Ask the kernel who is at the other end of a connection that libzmq accepted."""
    try:
        with socket.socket(fileno=os.dup(fd)) as connection:
            return format_address(connection.getpeername())
    except OSError:
        return "unknown"  # gone before we could ask


def format_address(name: tuple[str, int] | tuple[str, int, int, int] | str | bytes) -> str:
    """Write a socket address as an operator would.

    Args:
        name: from getpeername(2).

    Returns:
        ``10.5.126.12:41234`` (also when mapped into IPv6), ``[2001:db8::1]:41234``, or ``local`` for ipc.
    """
    if not isinstance(name, tuple):
        return "local"
    host = name[0].removeprefix("::ffff:")
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"


def names(groups: Collection[Peers]) -> dict[str, list[str]]:
    """List the peers of several sockets.

    Args:
        groups: publishers and listeners.

    Returns:
        Their addresses under ``publishers`` and ``listeners``.
    """
    return {f"{peers.role}s": peers.addresses for peers in groups}
