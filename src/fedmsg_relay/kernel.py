"""Whether the kernel has the messages that were given to libzmq: it sends them even if this process ends.

libzmq sends in a thread of its own and does not say when. But it tells which TCP connection it made, and the kernel
counts the bytes that were written to that.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Sequence

import zmq

from fedmsg_relay import tcp

EVENTS = zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED
"""Events that the monitor of a socket must tell, from before it is connected."""

PAUSE_SECONDS, LONGEST_PAUSE = 0.0001, 0.01
"""Pause between two looks, doubled each time: libzmq's thread mostly takes less than the first."""


class Written:
    """The bytes that have been written to the connection that a ZeroMQ socket has just made.

    Args:
        monitor: the socket's.

    Raises:
        OSError: they cannot be counted: the connection is not TCP, or it has ended.
    """

    def __init__(self, monitor: zmq.Socket[bytes]) -> None:
        self._monitor = monitor
        event = descriptor = 0
        while monitor.poll(0):
            event, descriptor = struct.unpack("=Hi", monitor.recv_multipart()[0])
        if event != zmq.EVENT_CONNECTED:
            raise OSError("the connection has ended")
        # A copy, as libzmq may close its own at any time.
        self._tcp = socket.socket(fileno=os.dup(descriptor))
        try:
            self._expected = tcp.bytes_written(self._tcp)
        except OSError:
            self._tcp.close()
            raise

    @property
    def ended(self) -> bool:
        """Whether the connection has ended; there may be another one by now."""
        return bool(self._monitor.poll(0))

    @property
    def done(self) -> bool:
        """Whether the kernel has everything that was added; once the relay has left, whether the relay's kernel has.

        It may also be asked when libzmq has closed the connection.
        """
        try:
            count = tcp.bytes_written if tcp.is_established(self._tcp) else tcp.bytes_acked
            return count(self._tcp) >= self._expected
        except OSError:
            return False

    def add(self, frames: Sequence[bytes]) -> None:
        """Count a message that was given to libzmq.

        Args:
            frames: of the message.
        """
        self._expected += sum(len(frame) + (2 if len(frame) < 256 else 9) for frame in frames)

    def wait(self, deadline: float) -> bool:
        """Wait until the kernel has everything that was added.

        Args:
            deadline: ``time.monotonic`` at which to give up.

        Returns:
            Whether it has.
        """
        pause = PAUSE_SECONDS
        while not (done := self.done) and not self.ended and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return done

    def close(self) -> None:
        """Close our copy of the connection; it ends when libzmq closes its own."""
        self._tcp.close()
