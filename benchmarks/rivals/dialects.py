"""The clients of fedmsg-relay's submit, of Redis and of NATS JetStream."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.load import CHUNK, Peer, decode
from benchmarks.plan import BenchError
from benchmarks.rivals.client import Client, Request
from benchmarks.work import TOPIC
from raw import frame


class Submit(Client):
    """Our relay's submit: all messages of a request in one multipart message, one receipt for them."""

    def connect(self, port: int) -> socket.socket:
        return Peer(f"tcp://127.0.0.1:{port}", b"DEALER").socket

    def request(self, bodies: Sequence[bytes]) -> Request:
        pairs = b"".join(frame(TOPIC, more=True) + frame(body, more=True) for body in bodies[:-1])
        head = frame(b"", more=True) + frame(b"FMR1", more=True)
        return Request(head + pairs + frame(TOPIC, more=True) + frame(bodies[-1]), len(bodies))

    def expect(self, messages: int) -> None:
        pass

    def complete(self, chunk: bytes) -> bool:
        return chunk.endswith(b"}")

    def receipts(self) -> Iterable[int]:
        for frames in decode(b"".join(self.heard)):
            answer = json.loads(frames[-1])
            if answer["status"] != "accepted":
                raise BenchError(f"submit answered {answer}")
            first, last = answer["seq"]
            yield from range(first, last + 1)


class Resp(Client):
    """Redis: an XADD for each message, those of a request in one pipeline."""

    _awaited = 0

    def command(self, *words: bytes) -> bytes:
        """Ask something whose answer is short.

        Raises:
            BenchError: it was refused.
        """
        self.socket.sendall(self.encode(*words))
        answer = b""
        while not answer.endswith(b"\r\n"):
            answer += self.socket.recv(CHUNK)
        if answer.startswith(b"-"):
            raise BenchError(f"Redis answered {answer.decode().strip()}")
        return answer.strip()

    def version(self) -> str:
        info = self.command(b"INFO", b"server")
        return info.partition(b"redis_version:")[2].split()[0].decode()

    @staticmethod
    def encode(*words: bytes) -> bytes:
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    def request(self, bodies: Sequence[bytes]) -> Request:
        return Request(b"".join(self.encode(b"XADD", TOPIC, b"*", b"body", body) for body in bodies), len(bodies))

    def expect(self, messages: int) -> None:
        self._awaited = 2 * messages  # the length of the entry's id and the id, each on a line

    def complete(self, chunk: bytes) -> bool:
        self._awaited -= chunk.count(b"\n")
        return self._awaited <= 0 or chunk.startswith(b"-") or b"\n-" in chunk

    def receipts(self) -> Iterable[bytes]:
        lines = b"".join(self.heard).split(b"\r\n")
        if refused := next((line for line in lines if line.startswith(b"-")), None):
            raise BenchError(f"Redis answered {refused.decode()}")
        return [line for line in lines if re.fullmatch(rb"\d+-\d+", line)]


class JetStream(Client):
    """NATS: a PUB for each message, whose reply is JetStream's receipt. One stream keeps the topic."""

    STREAM = "bench"
    _awaited = 0

    def greet(self) -> None:
        self._file = self.socket.makefile("rb")
        self.info: dict[str, Any] = json.loads(self._file.readline().removeprefix(b"INFO "))
        self._inbox = b"_INBOX.bench.%d" % self.info["client_id"]
        self.socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %s 1\r\nPING\r\n' % self._inbox)
        while (line := self._file.readline()) != b"PONG\r\n":
            if not line or line.startswith(b"-ERR"):
                raise BenchError(f"NATS answered {line.decode().strip()}")

    def call(self, verb: str, **asked: object) -> dict[str, Any]:
        """Ask JetStream's API about the stream.

        Raises:
            BenchError: it was refused.
        """
        data = json.dumps(asked).encode() if asked else b""
        subject = f"$JS.API.STREAM.{verb}.{self.STREAM}".encode()
        self.socket.sendall(b"PUB %s %s %d\r\n%s\r\n" % (subject, self._inbox, len(data), data))
        while not (line := self._file.readline()).startswith(b"MSG "):
            if not line or line.startswith(b"-ERR"):
                raise BenchError(f"NATS answered {line.decode().strip()}")
        answer: dict[str, Any] = json.loads(self._file.read(int(line.split()[-1])))
        if "error" in answer:
            raise BenchError(f"JetStream's {verb} answered {answer['error']}")
        return answer

    def request(self, bodies: Sequence[bytes]) -> Request:
        line = b"PUB %s %s %%d\r\n" % (TOPIC, self._inbox)
        return Request(b"".join(line % len(body) + body + b"\r\n" for body in bodies), len(bodies))

    def expect(self, messages: int) -> None:
        self._awaited = messages

    def complete(self, chunk: bytes) -> bool:
        self._awaited -= chunk.count(b"}")
        return self._awaited <= 0

    def receipts(self) -> Iterable[int]:
        heard = b"".join(self.heard)
        if b'"error"' in heard:
            raise BenchError(f"JetStream answered {heard[heard.index(b'{') :][:200].decode()}")
        return [int(number) for number in re.findall(rb'\{"stream":"bench",\s*"seq":(\d+)\}', heard)]

    def close(self) -> None:
        self._file.close()
        super().close()
