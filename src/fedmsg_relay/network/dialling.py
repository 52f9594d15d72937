"""Sockets that connect to an address of ZeroMQ's form, without waiting."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import Any

from fedmsg_relay import tcp

GONE_SECONDS = 5.0
"""Time after which the kernel gives up a host that does not acknowledge."""

_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(GONE_SECONDS * 1000)),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


def dial(address: str) -> socket.socket:
    """Begin to connect.

    Args:
        address: ``tcp://IP:PORT`` or ``ipc://PATH``.

    Returns:
        A socket that does not block; :func:`outcome` tells when it is connected.

    Raises:
        OSError: it cannot even be tried.
    """
    if address.startswith("ipc://"):
        return _connect(socket.AF_UNIX, tcp.unix_name(address))
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    family, _, _, _, name = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    return _connect(family, name)


def outcome(connection: socket.socket) -> str | None:
    """Tell whether it is connected.

    Args:
        connection: from :func:`dial`.

    Returns:
        The fault, empty if it is connected; None while neither is known.
    """
    poll = select.poll()  # select() knows no more than 1024 files
    poll.register(connection, select.POLLOUT)
    if not poll.poll(0):
        return None
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(error) if error else ""


def _connect(family: int, name: Any) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if family != socket.AF_UNIX:
            for level, option, value in _OPTIONS:
                connection.setsockopt(level, option, value)
        with suppress(BlockingIOError):
            connection.connect(name)
    except OSError:
        connection.close()
        raise
    return connection
