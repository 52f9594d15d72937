"""The listeners at outbound, as libzmq's socket monitor tells of them (zmq_socket_monitor(3))."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import zmq

from fedmsg_relay import tcp
from fedmsg_relay.network.connected import Connected
from fedmsg_relay.network.health import is_own
from fedmsg_relay.network.inflow import Inflow
from fedmsg_relay.network.use import UNKNOWN, own_address
from fedmsg_relay.runtime import limits, threads
from fedmsg_relay.runtime.log import log

_EVENTS = zmq.Event.ACCEPTED | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | zmq.Event.MONITOR_STOPPED


class Listeners:
    """The connections of a libzmq socket, watched by a thread of its own.

    A peer may be gone in a few milliseconds, and the kernel can tell its address only while it is there: so the
    monitor is not read in the relay's loop, which may have a batch in hand. Even so the file descriptor of a peer that
    has left may be that of another file by now, such as a publisher's connection.

    Args:
        bound: the socket to watch, before it is bound.

    Attributes:
        connected: the listeners that are connected.
    """

    def __init__(self, bound: zmq.Socket[bytes]) -> None:
        self.connected = Connected()
        self._bound = bound
        self._doors: set[str] = set()
        self._inflow = Inflow(self.connected, self._borrowed)
        self._handshaking: dict[int, None] = {}
        self._looks: set[int] = set()
        """Connections that are not peers but the relay's own looks at its health."""
        self._monitor: zmq.Socket[bytes] = bound.get_monitor_socket(_EVENTS)
        self._thread = threads.start("listeners", self._watch)

    def expect_at(self, address: str) -> None:
        """Know an address at which peers connect; to be called before it is bound.

        Args:
            address: for :func:`zmq_bind`.
        """
        self._doors.add(_door(address))

    def connections(self) -> list[tuple[int, str]]:
        """File descriptors and addresses of the peers connected now."""
        return list(self.connected.use.peers().items())

    def close(self) -> None:
        """Stop watching. To be called before the bound socket is closed."""
        self._bound.disable_monitor()
        self._thread.join()
        self._inflow.close()

    def _watch(self) -> None:
        """Take in the events of the monitor; one log line for each listener that came or went."""
        while True:
            event, value = struct.unpack("=hi", self._monitor.recv())
            self._monitor.recv()  # the second frame, our own address
            if event == zmq.Event.ACCEPTED:
                self._came(value)
            elif event == zmq.Event.DISCONNECTED:
                self._went(value)
            elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
                # The event does not say whose; handshakes are short, so it is the one that began first.
                self._handshaking.pop(next(iter(self._handshaking), -1), None)
            else:
                self._monitor.close()
                return

    def _came(self, fd: int) -> None:
        address = own = UNKNOWN  # if it is gone already
        with suppress(OSError), self._borrowed(fd) as connection:
            address, own = tcp.format_address(connection.getpeername()), own_address(connection)
        if is_own(address):
            self._looks.add(fd)
            return
        self._handshaking[fd] = None
        self.connected.came(fd, address, own)
        log.info("listener connected %s", address)
        if address != UNKNOWN:
            self._inflow.watch(fd)
            self._turn_away_surplus(fd, address)

    @contextmanager
    def _borrowed(self, fd: int) -> Iterator[socket.socket]:
        """Borrow the connection of a listener; raises OSError if the number is that of another file by now."""
        with tcp.borrowed(fd) as connection:
            if _door(own_address(connection)) not in self._doors:
                raise OSError(errno.EBADF, "it is not a listener")
            yield connection

    def _turn_away_surplus(self, fd: int, address: str) -> None:
        """Close a new connection if there are too many: listeners are silent, so silence tells nothing."""
        host = tcp.host_of(address)
        capacity, from_host = self.connected.capacity, self.connected.from_host(host)
        if self.connected.number > capacity:
            why = f"there are {capacity} already"
        elif from_host > capacity * limits.ADDRESS_SHARE:
            why = f"{host} has {from_host - 1} of {capacity} already"
        else:
            return
        self.connected.note_turned_away()
        log.warning("listener turned away %s: %s", address, why)
        with suppress(OSError), self._borrowed(fd) as connection:
            connection.shutdown(socket.SHUT_RDWR)

    def _went(self, fd: int) -> None:
        if fd in self._looks:
            self._looks.remove(fd)
            return
        address = self.connected.went(fd)
        if fd in self._handshaking:
            del self._handshaking[fd]
            self.connected.handshake_failed += 1
            log.warning("handshake failed %s: it does not speak ZeroMQ, or left before it did", address)
        log.info("listener disconnected %s", address)


def _door(address: str) -> str:
    """The part of an address by which a connection shows where it was accepted: the port, or the path."""
    return address.rpartition(":")[2]


def source(frame: zmq.Frame) -> tuple[int, str] | None:
    """Get the connection a frame came over.

    Args:
        frame: as libzmq gave it.

    Returns:
        Its file descriptor and the address of its peer, as :meth:`Listeners.connections` has them; the address is
        ``unknown`` if the connection is closed. None for peers that speak ZMTP 1 or 2: libzmq does not tell it.
    """
    try:
        fd = int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return None
    try:
        with tcp.borrowed(fd) as connection:
            return fd, tcp.format_address(connection.getpeername())
    except OSError:
        return fd, "unknown"
