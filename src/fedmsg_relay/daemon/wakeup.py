"""Wakes the relay's loop: by sockets that stay, and by sockets of the stage, which come and go."""

from __future__ import annotations

import socket
from collections.abc import Set as AbstractSet
from typing import Protocol

import zmq


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class Wakeup:
    """Sleeps until something comes."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._temporary: set[socket.socket] = set()

    def add(self, source: _HasDescriptor) -> None:
        """Wake from now on when something can be read.

        Args:
            source: where.
        """
        self._poller.register(source, zmq.POLLIN)

    def wait(self, milliseconds: int, temporary: AbstractSet[socket.socket]) -> set[object]:
        """Sleep until something comes.

        Args:
            milliseconds: maximum time.
            temporary: further sockets that wake, this time.

        Returns:
            Where something can be read: sockets of ZeroMQ, and file descriptors of all others.
        """
        if temporary != self._temporary:
            for gone in self._temporary - temporary:
                self._poller.unregister(gone)
            for new in temporary - self._temporary:
                self._poller.register(new, zmq.POLLIN)
            self._temporary = set(temporary)
        return {source for source, _ in self._poller.poll(milliseconds)}
