"""The client of RabbitMQ: AMQP 0-9-1, whose frames pika's codec makes and reads."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pika import frame, spec

from benchmarks.load import CHUNK
from benchmarks.plan import BenchError
from benchmarks.rivals.client import Client, Request


class Amqp(Client):
    """RabbitMQ: a persistent message to a durable queue by the default exchange, on a channel in confirm mode.

    Args:
        port: where the broker listens on 127.0.0.1.
        queue: the queue's name.
    """

    CHANNEL = 1
    ACK = struct.pack(">BHII", spec.FRAME_METHOD, CHANNEL, 13, spec.Basic.Ack.INDEX)
    ACK_SIZE = 21

    def __init__(self, port: int, queue: str) -> None:
        self._queue = queue
        super().__init__(port)

    def greet(self) -> None:
        self._data = b""
        self._tag = 0
        self._open: set[int] = set()
        self._confirmed: list[int] = []
        self.socket.sendall(frame.ProtocolHeader().marshal())
        start = self._answer(spec.Connection.Start)
        self.version: str = start.server_properties["version"]
        self._say(0, spec.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"))
        tune = self._answer(spec.Connection.Tune)
        self._say(0, spec.Connection.TuneOk(tune.channel_max, tune.frame_max, 0))  # no heartbeats
        self._ask(0, spec.Connection.Open("/"), spec.Connection.OpenOk)
        self._ask(self.CHANNEL, spec.Channel.Open(), spec.Channel.OpenOk)
        self._ask(self.CHANNEL, spec.Confirm.Select(), spec.Confirm.SelectOk)

    def declare(self, kind: str) -> None:
        """Declare the queue, of type classic or quorum."""
        arguments = {"x-queue-type": kind}
        method = spec.Queue.Declare(queue=self._queue, durable=True, arguments=arguments)
        self._ask(self.CHANNEL, method, spec.Queue.DeclareOk)

    def waiting(self) -> int:
        """How many messages wait in the queue."""
        method = spec.Queue.Declare(queue=self._queue, passive=True)
        count: int = self._ask(self.CHANNEL, method, spec.Queue.DeclareOk).message_count
        return count

    def purge(self) -> None:
        self._ask(self.CHANNEL, spec.Queue.Purge(queue=self._queue), spec.Queue.PurgeOk)

    def _ask(self, channel: int, method: Any, kind: Any) -> Any:
        self._say(channel, method)
        return self._answer(kind)

    def _say(self, channel: int, method: Any) -> None:
        self.socket.sendall(frame.Method(channel, method).marshal())

    def _answer(self, kind: Any) -> Any:
        while True:
            size, read = frame.decode_frame(self._data)
            if read is not None:
                self._data = self._data[size:]
                if not isinstance(read.method, kind):
                    raise BenchError(f"RabbitMQ answered {read.method}, not {kind.NAME}")
                return read.method
            chunk = self.socket.recv(CHUNK)
            if not chunk:
                raise BenchError(f"RabbitMQ hung up before {kind.NAME}")
            self._data += chunk

    def request(self, bodies: Sequence[bytes]) -> Request:
        return Request(b"".join(self._frames(bodies)), len(bodies))

    def _frames(self, bodies: Sequence[bytes]) -> Iterator[bytes]:
        publish = frame.Method(self.CHANNEL, spec.Basic.Publish(routing_key=self._queue)).marshal()
        persistent = spec.BasicProperties(delivery_mode=2)
        for body in bodies:
            yield publish + frame.Header(self.CHANNEL, len(body), persistent).marshal()
            yield frame.Body(self.CHANNEL, body).marshal()

    def expect(self, messages: int) -> None:
        self._open = set(range(self._tag + 1, self._tag + messages + 1))
        self._tag += messages

    def complete(self, chunk: bytes) -> bool:
        data = self._data + chunk
        whole = len(data) - len(data) % self.ACK_SIZE
        for at in range(0, whole, self.ACK_SIZE):
            if not data.startswith(self.ACK, at):
                raise BenchError(f"RabbitMQ answered {data[at : at + 200]!r}, not an ack")
            tag, multiple = struct.unpack_from(">QB", data, at + len(self.ACK))
            acked = {one for one in self._open if one <= tag} if multiple else {tag}
            self._confirmed += acked
            self._open -= acked
        self._data = data[whole:]
        return not self._open

    def receipts(self) -> Iterable[tuple[int, int]]:
        return [(self.fileno(), tag) for tag in self._confirmed]
