"""The load: publishers, a listener and clients that speak ZMTP over plain TCP.

What they send is made, frames and all, before the clock starts, and what they hear is read after it has stopped. So
they cost next to nothing, and the two cores of a small machine are the relay's. TCP's back pressure is theirs too:
nothing is dropped on the way in, however slow the relay is.
"""

from __future__ import annotations

import itertools
import multiprocessing
import select
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from benchmarks.plan import BenchError
from benchmarks.work import Work
from raw import RawPeer, frame

HELLO = b"org.fedoraproject.prod.bench.hello"
SILENCE = 8.0
"""Seconds without a message after which those that have not come are lost."""
CHUNK = 65536


class Peer(RawPeer):
    """A ZMTP connection whose socket one may wait for.

    Args:
        address: where to connect.
        kind: ZeroMQ's name of the socket it acts as.
    """

    def __init__(self, address: str, kind: bytes) -> None:
        super().__init__(address)
        self.socket: socket.socket = self._socket
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.shake_hands(kind)

    def fileno(self) -> int:
        return self.socket.fileno()


class Listener(Peer):
    """A listener that takes bytes as fast as they come and reads them later."""

    def __init__(self, address: str) -> None:
        super().__init__(address, b"SUB")
        self.send(frame(b"\x01"))
        self.chunks: list[tuple[float, bytes]] = []
        """When something came, and what."""
        self.silent = False
        """Whether what was awaited last did not come."""

    def take(self, size: int, silence: float = SILENCE, while_waiting: Callable[[], object] | None = None) -> None:
        """Take a number of bytes, or what has come when nothing more does.

        Args:
            size: bytes awaited.
            silence: seconds of silence after which no more is awaited.
            while_waiting: called for every chunk.
        """
        self.socket.settimeout(silence)
        receive, now, add = self.socket.recv, time.monotonic, self.chunks.append
        while size > 0:
            try:
                chunk = receive(4 * CHUNK)
            except TimeoutError:
                chunk = b""
            if not chunk:
                self.silent = True
                return
            add((now(), chunk))
            size -= len(chunk)
            if while_waiting:
                while_waiting()

    def seconds(self) -> float:
        """From the first of what was taken to the last."""
        return self.chunks[-1][0] - self.chunks[0][0] if len(self.chunks) > 1 else float("nan")

    def bodies(self) -> list[bytes]:
        """The bodies of all that was taken, hellos excepted."""
        heard = decode(b"".join(chunk for _, chunk in self.chunks))
        return [frames[1] for frames in heard if frames[0] != HELLO]

    def ends(self, length: int) -> Iterator[tuple[float, int]]:
        """When each chunk was there, and how many messages of that length on the wire were complete by then."""
        size = 0
        for when, chunk in self.chunks:
            size += len(chunk)
            yield when, size // length


def decode(data: bytes) -> Iterator[list[bytes]]:
    """Read messages as they stand on the wire; an unfinished one at the end is left out."""
    at, frames = 0, []
    while at + 2 <= len(data):
        flags = data[at]
        if flags & 2:
            if at + 9 > len(data):
                return
            start = at + 9
            end = start + struct.unpack_from(">Q", data, at + 1)[0]
        else:
            start = at + 2
            end = start + data[at + 1]
        if end > len(data):
            return
        at = end
        if flags & 4:
            continue  # a command of ZMTP
        frames.append(data[start:end])
        if not flags & 1:
            yield frames
            frames = []


def join(inbound: str, listener: Listener, timeout: float = 30.0) -> None:
    """Return when what is published at inbound reaches the listener, with nothing left on its way."""
    publisher = Peer(inbound, b"PUB")
    deadline = time.monotonic() + timeout
    data = b""
    for number in itertools.count():
        hello = b'{"msg": {"hello": %d}, "topic": "%s"}' % (number, HELLO)
        publisher.send(frame(HELLO, more=True) + frame(hello))
        while select.select([listener], [], [], 0.2)[0]:
            data += listener.socket.recv(CHUNK)
            if [HELLO, hello] in decode(data):
                publisher.close()
                return
        if time.monotonic() > deadline:
            raise BenchError(f"what is published at {inbound} reaches no listener")


@contextmanager
def publishing(work: Work, address: str, plain: bool = False) -> Iterator[Callable[[], None]]:
    """Publishers in a process of their own, connected and ready; call what you get to let them go.

    Args:
        work: what they publish.
        address: where they connect.
        plain: no handshake: what is there only swallows bytes.
    """
    with in_a_process(_publish, work, address, plain) as pipe:
        yield lambda: pipe.send("go")


def _publish(pipe: Connection, work: Work, address: str, plain: bool) -> None:
    streams = [memoryview(work.stream(who)) for who in range(work.publishers)]
    peers = [RawPeer(address) if plain else Peer(address, b"PUB") for _ in streams]
    selector = selectors.DefaultSelector()
    for peer, stream in zip(peers, streams, strict=True):
        connection = peer._socket
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_WRITE, [0, stream])
    pipe.send("ready")
    pipe.recv()
    while selector.get_map():
        for key, _ in selector.select():
            offset, stream = key.data
            key.data[0] = offset = offset + key.fileobj.send(stream[offset : offset + CHUNK])  # type: ignore[union-attr]
            if offset == len(stream):
                selector.unregister(key.fileobj)
    pipe.recv()  # stay connected until all was heard


@contextmanager
def in_a_process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run something beside us that says "ready" when it is; it gets its end of a pipe first."""
    forks = multiprocessing.get_context("fork")
    ours, theirs = forks.Pipe()
    process = forks.Process(target=_beside, args=(target, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(60) or ours.recv() != "ready":
            raise BenchError(f"{target.__name__} did not get ready")
        yield ours
        ours.send("end")
        process.join(30)
    finally:
        process.kill()
        process.join()


def _beside(target: Callable[..., None], *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started us ends us
    with suppress(EOFError, BrokenPipeError):  # the process that started us has ended
        target(*arguments)
