"""Who is connected, as libzmq's socket monitor tells it (zmq_socket_monitor(3))."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from contextlib import suppress

import zmq

from fedmsg_relay import tcp
from fedmsg_relay.network.health import is_own
from fedmsg_relay.network.inflow import Inflow
from fedmsg_relay.network.use import UNKNOWN, Use, own_address
from fedmsg_relay.runtime import limits, threads
from fedmsg_relay.runtime.log import log

_EVENTS = zmq.Event.ACCEPTED | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | zmq.Event.MONITOR_STOPPED


class Peers:
    """The connections of one socket of libzmq's, watched by a thread of its own.

    A peer may be gone in a few milliseconds, and the kernel can tell its address only while it is there: so the
    monitor is not read in the relay's loop, which may have a batch in hand.

    Args:
        bound: the socket to watch, before it is bound.
        role: what its peers are, for the log: ``listener``.
    """

    def __init__(self, bound: zmq.Socket[bytes], role: str) -> None:
        self.role = role
        self.accepted = 0
        self.closed = 0
        self.handshake_failed = 0
        self.turned_away = 0
        """Connections that were closed at once, as there were too many."""
        self.use = Use()
        self._bound = bound
        self._left = time.monotonic()
        self._hosts: Counter[str] = Counter()
        self._capacity = limits.connections()
        self._turned_away_at = -limits.CROWDED_SECONDS
        self._inflow = Inflow(role)
        self._by_fd: dict[int, str] = {}
        self._handshaking: dict[int, None] = {}
        self._looks: set[int] = set()
        """Connections that are no peers, but the relay's own looks at its health."""
        self._monitor: zmq.Socket[bytes] = bound.get_monitor_socket(_EVENTS)
        self._thread = threads.start(f"{role}s", self._watch)

    @property
    def addresses(self) -> list[str]:
        """Addresses of the peers connected now, such as ``10.5.126.12:41234``."""
        return sorted(self._by_fd.copy().values())

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last peer left; 0 while there is one, and since the start when none ever came."""
        return 0.0 if self._by_fd else time.monotonic() - self._left

    @property
    def cut(self) -> int:
        """Connections that were cut as they cost too much."""
        return self._inflow.cut

    @property
    def crowded(self) -> bool:
        """Whether somebody was turned away a moment ago, as there were too many."""
        return time.monotonic() - self._turned_away_at < limits.CROWDED_SECONDS

    def connections(self) -> list[tuple[int, str]]:
        """File descriptors and addresses of the peers connected now."""
        return list(self._by_fd.copy().items())

    def close(self) -> None:
        """Stop watching. To be called before the bound socket is closed."""
        self._bound.disable_monitor()
        self._thread.join()
        self._inflow.close()

    def _watch(self) -> None:
        """Take in what the monitor has to say; one log line for each peer that came or went."""
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
        with suppress(OSError), tcp.borrowed(fd) as connection:
            address, own = tcp.format_address(connection.getpeername()), own_address(connection)
        if is_own(address):
            self._looks.add(fd)
            return
        self.use.came(fd, address, own)
        self._by_fd[fd] = address
        self._handshaking[fd] = None
        self._hosts[tcp.host_of(address)] += 1
        self.accepted += 1  # when it can be seen who
        log.info("%s connected %s", self.role, address)
        self._inflow.watch(fd, address)
        self._turn_away_surplus(fd, address)

    def _turn_away_surplus(self, fd: int, address: str) -> None:
        """Close what would take the room of others; one that is silent is as it should be here, so it is the newest."""
        host = tcp.host_of(address)
        if len(self._by_fd) > self._capacity:
            why = f"there are {self._capacity} already"
        elif self._hosts[host] > self._capacity * limits.ADDRESS_SHARE:
            why = f"{host} has {self._hosts[host] - 1} of {self._capacity} already"
        else:
            return
        self.turned_away += 1
        self._turned_away_at = time.monotonic()
        log.warning("%s turned away %s: %s", self.role, address, why)
        with suppress(OSError), tcp.borrowed(fd) as connection:
            connection.shutdown(socket.SHUT_RDWR)

    def _went(self, fd: int) -> None:
        if fd in self._looks:
            self._looks.remove(fd)
            return
        self._left = time.monotonic()
        self.use.went(fd)
        address = self._by_fd.pop(fd, "unknown")
        self._hosts[tcp.host_of(address)] -= 1
        self._hosts += Counter()  # without those that have nothing
        self.closed += 1
        if fd in self._handshaking:
            del self._handshaking[fd]
            self.handshake_failed += 1
            log.warning("handshake failed %s: it does not speak ZeroMQ, or left before it did", address)
        log.info("%s disconnected %s", self.role, address)


def source(frame: zmq.Frame) -> tuple[int, str] | None:
    """Get the connection a frame came over.

    Args:
        frame: as libzmq gave it.

    Returns:
        Its file descriptor and its peer's address, as :meth:`Peers.connections` has them, ``unknown`` if it is closed;
        None for peers that speak ZMTP 1 or 2: libzmq does not say it.
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
