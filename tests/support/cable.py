"""A network between two relays that a test can cut, and that then forgets what is on its way."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading

from harness import PATIENCE, Host

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: unsent bytes are forgotten, and the other end learns of it."""


class Cable:
    """Leads from an address of its own to another one.

    Args:
        host: whose port it takes.
        address: to which it leads.
    """

    def __init__(self, host: Host, address: str) -> None:
        target, _, port = address.removeprefix("tcp://").rpartition(":")
        self._target = target, int(port)
        self._door = socket.socket()
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._door.bind(("127.0.0.1", host.port()))
        self._door.listen()
        self.address = "tcp://{}:{}".format(*self._door.getsockname())
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, socket.socket] = {}
        self._mended = True
        self._swallows = False
        self._closing = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Cut all connections, and let none be made until it is mended."""
        with self._lock:
            self._mended = False
            self._cut()

    def mend(self) -> None:
        with self._lock:
            self._mended, self._swallows = True, False

    def swallow(self) -> None:
        """Nothing that the far end sends arrives any more, and neither end can tell yet."""
        with self._lock:
            self._swallows = True

    def close(self) -> None:
        self._closing = True
        self._thread.join(PATIENCE)
        self.cut()
        self._door.close()

    def _cut(self) -> None:
        for end in self._ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()
        self._ends.clear()

    def _carry(self) -> None:
        while not self._closing:
            readable, _, _ = select.select([self._door, *self._ends], [], [], 0.05)
            with self._lock:
                for end in readable:
                    if end is self._door:
                        self._accept()
                    elif end in self._ends:
                        self._pass(end)

    def _accept(self) -> None:
        near, _ = self._door.accept()
        with contextlib.suppress(OSError):
            if self._mended:
                far = socket.create_connection(self._target, 1)
                self._ends[near], self._ends[far] = far, near
                return
        near.close()

    def _pass(self, end: socket.socket) -> None:
        try:
            data = end.recv(65536)
            far = end.getpeername() == self._target
            if data and not (far and self._swallows):
                self._ends[end].sendall(data)
        except OSError:
            data = b""
        if not data:
            other = self._ends.pop(end)
            self._ends.pop(other)
            end.close()
            other.close()
