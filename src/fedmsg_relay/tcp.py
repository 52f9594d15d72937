"""Asks the kernel about TCP connections, and sets their options: tcp(7), ip(7), linux/tcp.h.

Connections of libzmq are known by file descriptors only; a function that gets one works on a copy of it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from contextlib import suppress
from typing import NamedTuple

QUIET_MILLISECONDS = 8
"""Time without bytes after which a connection is quiet: longer than the pauses within a burst, and two ticks of the
kernel."""

_INFO_BYTES = 136
_STATE, _ESTABLISHED = struct.Struct("=B135x"), 1
"""``tcpi_state``, and the state of a connection that both sides have open."""
_LAST_RECEIVED = struct.Struct("=52xI80x")
"""``tcpi_last_data_recv``, milliseconds, in ``struct tcp_info``."""
_BYTES_ACKED = struct.Struct("=120xQ8x")
"""``tcpi_bytes_acked``."""
_BYTES_RECEIVED = struct.Struct("=128xQ")
"""``tcpi_bytes_received``."""

_SIOCOUTQNSD = 0x894B
"""linux/sockios.h: bytes that were not sent yet."""

_HOPS = ((socket.IPPROTO_IP, 21), (socket.IPPROTO_IPV6, 73))
"""IP_MINTTL and IPV6_MINHOPCOUNT, for which the socket module has no names."""

Address = tuple[str, int] | tuple[str, int, int, int] | str | bytes
"""From getpeername(2)."""


class Flow(NamedTuple):
    """Bytes of a connection that the kernel could not send yet, and bytes that the peer has acknowledged."""

    unsent: int
    acked: int


def borrowed(fd: int) -> socket.socket:
    """Make a socket of a connection that belongs to libzmq.

    Args:
        fd: its file descriptor.

    Returns:
        A socket of its own, to be closed.

    Raises:
        OSError: it is closed, or the number is that of another kind of file by now.
    """
    copy = os.dup(fd)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def flow(fd: int) -> Flow | None:
    """Tell how much of a connection is sent and acknowledged.

    Args:
        fd: its file descriptor.

    Returns:
        Both; None if the connection is closed, or is not TCP.
    """
    try:
        with borrowed(fd) as connection:
            (unsent,) = struct.unpack("i", fcntl.ioctl(connection, _SIOCOUTQNSD, b"\0" * 4))
            return Flow(unsent, bytes_acked(connection))
    except OSError:
        return None


def bytes_acked(connection: socket.socket) -> int:
    """Tell how many bytes the other side's kernel has acknowledged since it was connected.

    Args:
        connection: TCP.

    Raises:
        OSError: it is closed, or is not TCP.
    """
    return _count(_BYTES_ACKED, connection)


def bytes_written(connection: socket.socket) -> int:
    """Tell how many bytes this side has written since it was connected, acknowledged or not.

    Args:
        connection: TCP.

    Raises:
        OSError: it is closed, or is not TCP.
    """
    while True:
        acked = bytes_acked(connection)
        (outstanding,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
        if acked == bytes_acked(connection):  # or some were acknowledged between the two looks
            return acked + int(outstanding)


def is_established(connection: socket.socket) -> bool:
    """Tell whether both sides have a connection open.

    Args:
        connection: TCP.

    Raises:
        OSError: it is closed, or is not TCP.
    """
    return _count(_STATE, connection) == _ESTABLISHED


def bytes_received(connection: socket.socket) -> int:
    """Tell how many bytes a peer has sent since it connected.

    Args:
        connection: TCP.

    Raises:
        OSError: it is closed, or is not TCP.
    """
    return _count(_BYTES_RECEIVED, connection)


def is_quiet(connection: socket.socket) -> bool:
    """Tell whether a connection has received nothing for a moment.

    Args:
        connection: TCP, or another one of which this is not known.
    """
    try:
        return _count(_LAST_RECEIVED, connection) >= QUIET_MILLISECONDS
    except OSError:
        return True


def unread(connection: socket.socket) -> int:
    """Tell how many bytes the kernel holds that were not read yet.

    Args:
        connection: any stream socket.

    Raises:
        OSError: it is closed.
    """
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, b"\0" * 4))
    return int(count)


def require_hops(connection: socket.socket, hops: int) -> None:
    """Let the kernel drop packets that come with fewer hops left; their sender tries again.

    No packet comes with 255 left: hosts start with 64 or 128. A socket filter would be plainer, but not every kernel
    lets an unprivileged user attach one.

    Args:
        connection: a TCP socket, listening or connected.
        hops: how many; 0 lets everything in.
    """
    for level, option in _HOPS:
        with suppress(OSError):
            connection.setsockopt(level, option, hops)


def format_address(name: Address) -> str:
    """Write a socket address as an operator would.

    Args:
        name: from getpeername(2) or getsockname(2).

    Returns:
        ``10.5.126.12:41234`` (also when mapped into IPv6), ``[2001:db8::1]:41234``, ``local`` for ipc, and ``@name``
        where a unix socket has a name in the abstract namespace.
    """
    if isinstance(name, bytes) and name:
        return "@" + name[1:].decode(errors="backslashreplace")
    if not isinstance(name, tuple):
        return "local"
    host = name[0].removeprefix("::ffff:")
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"


def host_of(address: str) -> str:
    """Get the host of an address.

    Args:
        address: from :func:`format_address`.

    Returns:
        The IP address, without port and brackets; ``local`` for ipc.
    """
    return address.rpartition(":")[0].strip("[]") or address


def ip_of(address: str) -> str:
    """Get the IP address of an address.

    Args:
        address: from :func:`format_address`.

    Returns:
        The IP address, without port and brackets; empty for ipc.
    """
    return "" if address == "local" or address.startswith("@") else host_of(address)


def unix_name(address: str) -> str:
    """Get what a Unix socket is bound or connected to.

    Args:
        address: ``ipc://PATH``, or ``ipc://@NAME`` in the abstract namespace, unix(7).

    Returns:
        The path, or the name as the kernel has it.
    """
    path = address.removeprefix("ipc://")
    return f"\0{path[1:]}" if path.startswith("@") else path


def _count(field: struct.Struct, connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(info) < field.size:  # Linux before 4.1
        raise OSError("this kernel does not count them")
    return int(field.unpack(info)[0])
