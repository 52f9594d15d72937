"""SIGTERM, SIGINT, SIGHUP and SIGUSR1: they wake the relay's loop, which handles them between two turns."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from types import FrameType


class Signals:
    """Catches SIGTERM, SIGINT, SIGHUP and SIGUSR1 from now on.

    Attributes:
        wakeup_socket: a socket that is readable when a signal has come.
    """

    def __init__(self) -> None:
        self._caught: list[int] = []
        self.wakeup_socket, self._waker = socket.socketpair()
        self.wakeup_socket.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._catch)

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        self._caught.append(number)

    def take(self) -> Iterator[signal.Signals]:
        """Take the signals that have come; call this when ``wakeup_socket`` is readable.

        Yields:
            The signals, in the order in which they came.
        """
        self.wakeup_socket.recv(4096)
        while self._caught:
            yield signal.Signals(self._caught.pop(0))
