"""The use of an endpoint's addresses: which peers are connected to each, or when the last one left."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

UNKNOWN = "unknown"
"""Our own address on a connection that ended before it was looked at: it may have been any of them."""


class Used(NamedTuple):
    """The use of one address.

    Attributes:
        address: as it is bound, such as ``tcp://*:9941``.
        peers: addresses of the peers that are connected to it.
        idle_seconds: since the last of them left, or since the start; 0 while there is one.
    """

    address: str
    peers: list[str]
    idle_seconds: float


class Use:
    """Which peer is connected to which address, and when peers left. One thread notes, any other may ask."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._connected: dict[int, tuple[str, str]] = {}
        self._left: dict[str, float] = {}

    def came(self, fd: int, peer: str, own: str) -> None:
        """Note a connection.

        Args:
            fd: its file descriptor.
            peer: the other end's address.
            own: from :func:`own_address`, or :data:`UNKNOWN`.
        """
        self._connected[fd] = peer, own

    def went(self, fd: int) -> str:
        """Note that a connection is closed.

        Args:
            fd: as it came.

        Returns:
            The other end's address, :data:`UNKNOWN` if the connection was not noted.
        """
        peer, own = self._connected.get(fd, (UNKNOWN, UNKNOWN))
        self._left[own] = time.monotonic()  # first: in between nobody may take the address for long unused
        self._connected.pop(fd, None)
        return peer

    @property
    def number(self) -> int:
        """Number of connections now."""
        return len(self._connected)

    def connections(self) -> dict[int, tuple[str, str]]:
        """Get the other end's address of each connection, and our own, by its file descriptor."""
        return self._connected.copy()

    def peers(self) -> dict[int, str]:
        """Get the other end's address of each connection, by its file descriptor."""
        return {fd: peer for fd, (peer, _) in self._connected.copy().items()}

    def of(self, addresses: Sequence[str]) -> list[Used]:
        """Tell which peers use which address.

        Args:
            addresses: all that the endpoint has. Where they overlap, a connection counts for the most exact one.

        Returns:
            The use of each.
        """
        connected, left = list(self._connected.copy().values()), self._left.copy()
        owner = {own: _owner(own, addresses) for own in {*left, *(own for _, own in connected)}}
        used = []
        for address in addresses:
            peers = sorted(peer for peer, own in connected if owner[own] == address)
            last = max([self._since, *(when for own, when in left.items() if owner[own] in {address, UNKNOWN})])
            used.append(Used(address, peers, 0.0 if peers else round(time.monotonic() - last, 3)))
        return used


def own_address(connection: socket.socket) -> str:
    """Get our own end of a connection, as an address that may have been bound for it.

    Args:
        connection: accepted.

    Returns:
        Such as ``tcp://10.5.126.12:9941`` (also when mapped into IPv6), or ``ipc:///path``.

    Raises:
        OSError: it is closed.
    """
    name = connection.getsockname()
    if isinstance(name, tuple):
        host = name[0].removeprefix("::ffff:")
        return f"tcp://[{host}]:{name[1]}" if ":" in host else f"tcp://{host}:{name[1]}"
    return f"ipc://{name}" if isinstance(name, str) else f"ipc://@{name[1:].decode(errors='replace')}"


def _owner(own: str, addresses: Sequence[str]) -> str:
    """The address for which such a connection was accepted."""
    if own == UNKNOWN:
        return UNKNOWN
    host, _, port = own.rpartition(":")
    same_port = [address for address in addresses if address.rpartition(":")[2] == port]
    for address in same_port:
        if _host(address) == _host(own):
            return address
    return next((address for address in same_port if host.startswith("tcp://") and _host(address) == "*"), "")


def _host(address: str) -> str:
    """Its host as one writes it: ``*`` for all that mean every address of this host."""
    host = address.rpartition(":")[0].removeprefix("tcp://").strip("[]")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return host
    return "*" if literal.is_unspecified else literal.compressed
