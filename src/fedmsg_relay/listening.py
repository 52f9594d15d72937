"""Sockets that listen at an address of ZeroMQ's form, with what libzmq would set on them."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted."""

_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)
"""What accepted connections inherit: a peer whose host is gone is noticed, and nothing waits to be sent."""


def listen(address: str) -> socket.socket:
    """Listen at an address.

    Args:
        address: ``tcp://HOST:PORT``, with an IP literal or ``*`` for the host, or ``ipc://PATH``.

    Returns:
        A listening socket that does not block.

    Raises:
        OSError: the address cannot be bound.
    """
    if address.startswith("ipc://"):
        return _listen_at_path(address.removeprefix("ipc://"))
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    if host == "*":
        return _listen_everywhere(int(port))
    flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
    family, _, _, _, name = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=flags)[0]
    return _listen(family, name)


def close(door: socket.socket, address: str) -> None:
    """Stop listening.

    Args:
        door: from :func:`listen`.
        address: what it listens at.
    """
    door.close()
    if address.startswith("ipc://"):
        with suppress(OSError):
            Path(address.removeprefix("ipc://")).unlink()


def _listen_everywhere(port: int) -> socket.socket:
    """At all addresses, of IPv6 and of IPv4; a host may have no IPv6."""
    try:
        return _listen(socket.AF_INET6, ("::", port))
    except OSError as error:
        if error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            raise
    return _listen(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 -- the config asks for all of them


def _listen(family: int, name: Any) -> socket.socket:
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for level, option, value in _OPTIONS:
            door.setsockopt(level, option, value)
        door.bind(name)
        door.listen(BACKLOG)
    except OSError:
        door.close()
        raise
    door.setblocking(False)
    return door


def _listen_at_path(path: str) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        Path(path).unlink(missing_ok=True)  # left by a relay that was killed
        door.bind(path)
        door.listen(BACKLOG)
    except OSError:
        door.close()
        raise
    door.setblocking(False)
    return door
