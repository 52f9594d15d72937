"""The peers that are connected to an endpoint, and how many were since the start."""

from __future__ import annotations

import time
from collections import Counter

from fedmsg_relay import tcp
from fedmsg_relay.network.use import Use
from fedmsg_relay.runtime import limits


class Connected:
    """The connections of one endpoint. One thread at a time notes, any thread may ask.

    Attributes:
        use: which peers are connected to which address of ours.
        capacity: maximum number of connections.
        accepted: connections since the start.
        closed: connections that have ended.
        handshake_failed: connections that have ended before their peers spoke ZeroMQ.
        turned_away: connections that were closed at once, or to make room for others, as there were too many.
        cut: connections that were cut as they cost too much.
    """

    def __init__(self) -> None:
        self.use = Use()
        self.capacity = limits.connections()
        self.accepted = self.closed = self.handshake_failed = self.turned_away = self.cut = 0
        self._hosts: Counter[str] = Counter()
        self._left = time.monotonic()
        self._turned_away_at = -limits.CROWDED_SECONDS

    @property
    def addresses(self) -> list[str]:
        """Addresses of the peers that are connected now, such as ``10.5.126.12:41234``."""
        return sorted(self.use.peers().values())

    @property
    def number(self) -> int:
        """Number of connections now."""
        return self.use.number

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last peer left; 0 while a peer is connected, and since the start if none ever was."""
        return 0.0 if self.number else time.monotonic() - self._left

    @property
    def crowded(self) -> bool:
        """Whether a peer was turned away a moment ago, as there were too many."""
        return time.monotonic() - self._turned_away_at < limits.CROWDED_SECONDS

    @property
    def busiest_host(self) -> str:
        """The IP address that has most of the connections."""
        return self._hosts.most_common(1)[0][0]

    def from_host(self, host: str) -> int:
        """Count the connections of a host.

        Args:
            host: its IP address.
        """
        return self._hosts[host]

    def came(self, fd: int, address: str, own: str) -> None:
        """Note a connection.

        Args:
            fd: its file descriptor.
            address: of the peer.
            own: as for :meth:`fedmsg_relay.network.use.Use.came`.
        """
        self._hosts[tcp.host_of(address)] += 1
        self.use.came(fd, address, own)
        self.accepted += 1

    def went(self, fd: int) -> str:
        """Note that a connection is closed.

        Args:
            fd: as it came.

        Returns:
            The address of the peer.
        """
        self._left = time.monotonic()
        address = self.use.went(fd)
        host = tcp.host_of(address)
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]
        self.closed += 1
        return address

    def note_turned_away(self) -> None:
        """Note that a connection was closed as there were too many."""
        self.turned_away += 1
        self._turned_away_at = time.monotonic()
