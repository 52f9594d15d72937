"""Who is connected, as libzmq's socket monitor tells it (zmq_socket_monitor(3))."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
import time
from contextlib import suppress

import zmq

from fedmsg_relay import threads
from fedmsg_relay.addresses import format_address
from fedmsg_relay.health import is_own
from fedmsg_relay.log import log

_EVENTS = (
    zmq.Event.LISTENING
    | zmq.Event.ACCEPTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.DISCONNECTED
    | zmq.Event.MONITOR_STOPPED
)

QUIET_MILLISECONDS = 8
"""Longer than the pauses within a burst; the kernel's own clock ticks every 4."""

_LAST_RECEIVED = struct.Struct("=52xI72x")
"""``tcpi_last_data_recv``, milliseconds, in the first 128 bytes of ``struct tcp_info``, linux/tcp.h."""

_HOPS = ((socket.IPPROTO_IP, 21), (socket.IPPROTO_IPV6, 73))
"""IP_MINTTL and IPV6_MINHOPCOUNT, for which the socket module has no names, see ip(7)."""


class Peers:
    """The connections of one bound socket, watched by a thread of its own.

    A one-off script is gone in a few milliseconds, and the kernel can tell its address only while it is there: so the
    monitor is not read in the relay's loop, which may have a batch in hand.

    Args:
        bound: the socket to watch, before it is bound.
        role: what its peers are: ``publisher`` or ``listener``.
    """

    def __init__(self, bound: zmq.Socket[bytes], role: str) -> None:
        self.role = role
        self.accepted = 0
        self.closed = 0
        self.handshake_failed = 0
        self._bound = bound
        self._left = time.monotonic()
        self._listening: list[int] = []
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

    def connections(self) -> list[tuple[int, str]]:
        """File descriptors and addresses of the peers connected now."""
        return list(self._by_fd.copy().items())

    def keep_out_newcomers(self) -> None:
        """Let nobody connect any more, without closing: the kernel drops what asks for a connection, so it is retried.

        libzmq's own way, to unbind, also cuts the connections it has accepted, with what they have sent.
        """
        for fd in self._listening:
            # No packet comes with so many hops left (hosts start with 64 or 128). A socket filter would be plainer, but
            # not every kernel lets an unprivileged user attach one.
            _require_hops(fd, 255)

    def half_close(self, only_quiet: bool, only_read: bool) -> None:
        """Ask peers to close without losing what they have sent: they read end of file, close, and their queue waits.

        The kernel still delivers what a peer had written, up to its own end of file; then its address is gone here.
        But a libzmq that is disconnected in the middle of a burst forgets the message of which it has written the
        topic and not yet the body. And ours, when both ends close while its queue for a publisher is full, takes in
        that queue and forgets what the kernel still holds.

        Args:
            only_quiet: leave alone those that are sending at this moment.
            only_read: leave alone those of which the kernel holds what libzmq has not read.
        """
        for fd in list(self._by_fd):
            _require_hops(fd, 0)  # who stood in the door when it was closed has inherited what closed it
            with suppress(OSError), _borrowed(fd) as connection:
                if (not only_quiet or _quiet(connection)) and not (only_read and _unread(connection)):
                    connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Stop watching. To be called before the bound socket is closed."""
        self._bound.disable_monitor()
        self._thread.join()

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
            elif event == zmq.Event.LISTENING:
                self._listening.append(value)
            else:
                self._monitor.close()
                return

    def _came(self, fd: int) -> None:
        address = "unknown"  # if it is gone already
        with suppress(OSError), _borrowed(fd) as connection:
            address = format_address(connection.getpeername())
        if is_own(address):
            self._looks.add(fd)
            return
        self._by_fd[fd] = address
        self._handshaking[fd] = None
        self.accepted += 1  # when it can be seen who
        log.info("%s connected %s", self.role, address)

    def _went(self, fd: int) -> None:
        if fd in self._looks:
            self._looks.remove(fd)
            return
        self._left = time.monotonic()
        address = self._by_fd.pop(fd, "unknown")
        self.closed += 1
        if fd in self._handshaking:
            del self._handshaking[fd]
            self.handshake_failed += 1
            log.warning("handshake failed %s: it does not speak ZeroMQ, or left before it did", address)
        log.info("%s disconnected %s", self.role, address)


def _quiet(connection: socket.socket) -> bool:
    """Whether it has received nothing for a moment."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    except OSError:
        return True  # no TCP: it does not say
    (silence,) = _LAST_RECEIVED.unpack(info)
    return bool(silence >= QUIET_MILLISECONDS)


def _unread(connection: socket.socket) -> bool:
    """Whether the kernel holds bytes of it that were not read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, b"\0" * 4))
    return bool(count)


def _borrowed(fd: int) -> socket.socket:
    """Get at a connection of libzmq's; raises OSError when it is closed already."""
    return socket.socket(fileno=os.dup(fd))


def _require_hops(fd: int, hops: int) -> None:
    """Let the kernel drop what comes with fewer hops left; 0 lets everything in."""
    for level, option in _HOPS:
        with suppress(OSError), _borrowed(fd) as connection:
            connection.setsockopt(level, option, hops)


def peer_address(frame: zmq.Frame) -> str:
    """Get the IP address a frame came from.

    Args:
        frame: as libzmq gave it.

    Returns:
        The address; ``unknown`` over ipc, and of peers that speak ZMTP 1: libzmq does not say it.
    """
    try:
        return str(frame.get("Peer-Address")).removeprefix("::ffff:")
    except zmq.ZMQError:
        return "unknown"


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
        with _borrowed(fd) as connection:
            return fd, format_address(connection.getpeername())
    except OSError:
        return fd, "unknown"
