"""A client that publishes and waits for receipts, whatever the protocol.

All clients are of one kind: bytes that were made before the clock starts go into a TCP connection, and what comes back
is only counted until the clock has stopped. So the measurement is the server's. The usual library of each protocol
would be another client for each rival, and most of them would be slower than the server: pika takes 500 us of CPU for a
message that waits for its confirm.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from benchmarks.load import CHUNK
from benchmarks.plan import BenchError
from harness import PATIENCE


class Request(NamedTuple):
    """What is sent at once, and how many messages it holds."""

    data: bytes
    messages: int


class Client(ABC):
    """A connection to a server that gives receipts.

    Args:
        port: where the server listens on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.socket = self.connect(port)
        self.heard: list[bytes] = []
        """All that came back for requests."""
        self.greet()

    def connect(self, port: int) -> socket.socket:
        connected = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def greet(self) -> None:  # noqa: B027 -- most say nothing
        """Say what the protocol wants said before the first request."""

    @abstractmethod
    def request(self, bodies: Sequence[bytes]) -> Request:
        """Messages as bytes on the wire."""

    @abstractmethod
    def expect(self, messages: int) -> None:
        """A request with so many messages goes out now."""

    @abstractmethod
    def complete(self, chunk: bytes) -> bool:
        """Whether every receipt of the last request is there, now that this has come as well."""

    @abstractmethod
    def receipts(self) -> Iterable[Hashable]:
        """What tells the receipt of one message from any other, for each that has one, read from all that was heard.

        Raises:
            BenchError: a message was refused.
        """

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: Request) -> None:
        self.expect(request.messages)
        self.socket.sendall(request.data)

    def take(self) -> bool:
        """Take what has come; whether every receipt of the last request is there."""
        chunk = self.socket.recv(CHUNK)
        if not chunk:
            raise BenchError(f"{type(self).__name__}: the server hung up")
        self.heard.append(chunk)
        return self.complete(chunk)

    def close(self) -> None:
        self.socket.close()
