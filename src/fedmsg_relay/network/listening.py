"""Sockets that listen at an address of ZeroMQ's form, with the options that libzmq would set."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedmsg_relay import tcp

BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted."""

_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)
"""Options that accepted connections inherit: a peer whose host is gone is noticed, and bytes are sent at once."""


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
        _remove(address)  # left by a relay that was killed
        return _listen(socket.AF_UNIX, tcp.unix_name(address))
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
    with suppress(OSError):
        _remove(address)


def _remove(address: str) -> None:
    if address.startswith("ipc://") and not address.startswith("ipc://@"):
        Path(address.removeprefix("ipc://")).unlink(missing_ok=True)


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
        door.setblocking(False)
        if family != socket.AF_UNIX:
            for level, option, value in _OPTIONS:
                door.setsockopt(level, option, value)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        door.bind(name)
        door.listen(BACKLOG)
    except OSError:
        door.close()
        raise
    return door
