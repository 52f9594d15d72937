"""Tells which peers have sent something, and which have room again for what could not be written."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import suppress

from fedmsg_relay.network.peer import Peer

_READ = select.EPOLLIN | select.EPOLLRDHUP
_WRITABLE = select.EPOLLOUT


class Readiness:
    """The connections of peers, as epoll(7) knows them. A thread may add a peer while another one waits."""

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def add(self, peer: Peer) -> None:
        """Tell from now on when a peer has sent something, and at once if bytes of it were read already.

        Args:
            peer: the peer.
        """
        self._epoll.register(peer.socket, _READ | _WRITABLE if peer.rest else _READ)

    def update(self, peer: Peer) -> None:
        """Tell when a peer has sent something, unless it is held back, and when it has room, if anything waits for it.

        Args:
            peer: the peer.
        """
        # Edge-triggered: that a peer has hung up while it waits is told once, and not without end.
        read = select.EPOLLET if peer.held_back else _READ
        self._epoll.modify(peer.socket, read | (_WRITABLE if peer.unsent else 0))

    def remove(self, peer: Peer) -> None:
        """Tell no more of a peer.

        Args:
            peer: the peer.
        """
        with suppress(OSError, ValueError):
            self._epoll.unregister(peer.socket)

    def events(self) -> Iterator[tuple[int, bool, bool]]:
        """Look which connections are ready, without waiting.

        Yields:
            The file descriptor, whether something has come (or the peer has hung up), and whether there is room.
        """
        for descriptor, events in self._epoll.poll(0):
            yield descriptor, bool(events & ~_WRITABLE), bool(events & _WRITABLE)

    def wait(self, seconds: float) -> bool:
        """Wait until a connection is ready.

        Args:
            seconds: maximum time.

        Returns:
            Whether one is.
        """
        return _wait([self.fileno()], select.POLLIN, seconds)

    def fileno(self) -> int:
        """A file descriptor that is readable when a connection is ready."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close it."""
        self._epoll.close()


def wait_for_room(peers: list[Peer], seconds: float) -> None:
    """Wait until one of the peers has room.

    Args:
        peers: the peers.
        seconds: maximum time.
    """
    _wait([peer.fileno() for peer in peers], select.POLLOUT, seconds)


def _wait(descriptors: list[int], event: int, seconds: float) -> bool:
    """Wait until one of the descriptors is ready; select(2) cannot do that for a thousand peers.

    Args:
        descriptors: file descriptors.
        event: to wait for, as poll(2) has it.
        seconds: maximum time.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, event)
    return bool(poll.poll(seconds * 1000))
