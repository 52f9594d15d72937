"""The bound on what listeners send: they send subscriptions, and libzmq takes in as many as come.

libzmq reads all of them at once and keeps them in memory. It could limit how many wait, but at that limit a PING ends
the process (:mod:`fedmsg_relay.network.zmtp`). So a thread looks at each connection that bytes come over, which is
seldom, and cuts a listener that has sent more than it may.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from fedmsg_relay import tcp
from fedmsg_relay.network.connected import Connected
from fedmsg_relay.runtime import limits, threads
from fedmsg_relay.runtime.log import log


class Inflow:
    """Watches connections until closed.

    Args:
        connected: where each connection that is cut is counted.
        borrow: borrows the connection of a listener; raises OSError if it is closed.
    """

    def __init__(self, connected: Connected, borrow: Callable[[int], AbstractContextManager[socket.socket]]) -> None:
        self._connected = connected
        self._borrow = borrow
        self._since: dict[int, float] = {}
        self._closing = False
        self._epoll = select.epoll()
        self._woken, self._waker = socket.socketpair()
        self._epoll.register(self._woken, select.EPOLLIN)
        self._thread = threads.start("inflow", self._watch)

    def watch(self, fd: int) -> None:
        """Watch a connection; the kernel forgets it when it is closed.

        Args:
            fd: its file descriptor, which stays somebody else's.
        """
        self._since[fd] = time.monotonic()
        with suppress(OSError):  # it is closed already
            try:
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
            except FileExistsError:
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLET)

    def close(self) -> None:
        """Stop watching."""
        self._closing = True
        self._waker.send(b"\0")
        self._thread.join()
        self._epoll.close()
        self._waker.close()
        self._woken.close()

    def _watch(self) -> None:
        while not self._closing:
            for fd, _ in self._epoll.poll():
                if fd in self._since:
                    self._look(fd, self._since[fd])

    def _look(self, fd: int, since: float) -> None:
        allowed = limits.LISTENER_BYTES + limits.LISTENER_BYTES_A_SECOND * (time.monotonic() - since)
        with suppress(OSError), self._borrow(fd) as connection:  # closed in this very moment, or not TCP
            if (received := tcp.bytes_received(connection)) > allowed:
                address = tcp.format_address(connection.getpeername())
                connection.shutdown(socket.SHUT_RDWR)
                self._connected.cut += 1
                del self._since[fd]
                log.warning("listener cut %s: it sent %d bytes of subscriptions", address, received)
