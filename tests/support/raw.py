"""Peers that say exactly the bytes a test wants, also such as no ZeroMQ library would send."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence

from harness import PATIENCE

PING = b"\x04\x07\x04PING\x00\x0a"


class RawPeer:
    """A TCP connection to a relay's port that says exactly the bytes the test wants."""

    def __init__(self, address: str, timeout: float = PATIENCE) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout)
        self.name = "{}:{}".format(*self._socket.getsockname()[:2])

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, f"the relay closed the connection after {data!r}"
            data += more
        return data

    def shake_hands(self, kind: bytes = b"PUB") -> RawPeer:
        """ZMTP 3.0 with the NULL mechanism, up to the relay's READY."""
        self.send(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
        self.send(b"\x04" + bytes([len(ready)]) + ready)
        self.receive(64)
        size = self.receive(2)[1]
        self.receive(size)
        return self

    def finish(self) -> None:
        """Say that this was all, take what is answered, and close once the relay has hung up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self.wait_closed()
        self.close()

    def wait_closed(self, timeout: float = PATIENCE) -> None:
        """Return when the relay has hung up."""
        self._socket.settimeout(timeout)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self._socket.recv(65536):
                pass

    def reset(self) -> None:
        """Hang up so that the relay's kernel hears of it at once, whatever was not read yet."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


def frame(body: bytes, more: bool = False) -> bytes:
    """One ZMTP frame."""
    if len(body) > 255:
        return struct.pack(">BQ", 2 | more, len(body)) + body
    return struct.pack(">BB", more, len(body)) + body


def framed(messages: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Messages as ZMTP has them on their way."""
    return b"".join(frame(topic, more=True) + frame(body) for topic, body in messages)
