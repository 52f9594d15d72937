"""A script's connection to an inbound that misbehaves: what is said of its messages is true, and no wait is endless."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fedmsg_relay.connection import SPARE_DESCRIPTORS
from fedmsg_relay.errors import NoRelayError
from fedmsg_relay.inbound import InboundConnection
from fedmsg_relay.network.handshake import SUB, Handshake
from harness import BUSY, PATIENCE
from raw import PING, frame

TIMEOUT = 1.0
MESSAGE = (b"topic", b"x" * 100_000)
"""Larger than what the kernels hold of a connection that nobody reads, where there are a few of them."""


class Inbound:
    """An inbound that shakes hands with everybody, and then does what a test wants."""

    def __init__(self, then: Callable[[socket.socket], None]) -> None:
        self._then = then
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._peers: list[socket.socket] = []
        self.address = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.reset()
        self._door.close()

    def reset(self) -> None:
        """End all connections, and let nobody in any more."""
        with contextlib.suppress(OSError):  # once is enough
            self._door.shutdown(socket.SHUT_RDWR)
        for peer in self._peers:
            peer.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._door.accept()
                self._peers.append(peer)
                handshake = Handshake(SUB)
                while not handshake.version:
                    peer.sendall(handshake.output)
                    handshake.output.clear()
                    handshake.feed(peer.recv(4096))
                peer.sendall(handshake.output)
                threading.Thread(target=self._go_on, args=(peer,), daemon=True).start()

    def _go_on(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._then(peer)


def read_all(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass


def read_nothing(_: socket.socket) -> None:
    pass


def subscribe_without_end(peer: socket.socket) -> None:
    for number in range(10**9):
        peer.sendall(frame(b"\x01%d" % number) * 10)
        time.sleep(0.01)


def subscribe_and_ping(peer: socket.socket) -> None:
    peer.sendall(b"".join(frame(b"\x01%d" % number) for number in range(1600)) + PING)
    time.sleep(0.1)
    peer.close()


@contextlib.contextmanager
def connected(then: Callable[[socket.socket], None]) -> Iterator[tuple[Inbound, InboundConnection]]:
    with contextlib.closing(Inbound(then)) as inbound:
        connection = InboundConnection([inbound.address], "here")
        yield inbound, connection
        with contextlib.suppress(NoRelayError):
            connection.close(TIMEOUT)


def bounded(seconds: float) -> float:
    return seconds + BUSY


def test_a_relay_that_dies_while_the_connection_is_closed_has_not_taken_all() -> None:
    with connected(read_nothing) as (inbound, connection):
        assert connection.send([MESSAGE] * 100, TIMEOUT).fault is None
        threading.Timer(0.3, inbound.reset).start()
        with pytest.raises(NoRelayError, match="left before it had everything"):
            connection.close(60)


def test_what_an_earlier_relay_did_not_take_is_told_at_the_end() -> None:
    with connected(read_nothing) as (first, connection):
        assert connection.send([MESSAGE] * 100, TIMEOUT).fault is None
        first.reset()
        with contextlib.closing(Inbound(read_all)) as second:
            connection._addresses = [second.address]
            deadline = time.monotonic() + bounded(10)
            while connection.send([(b"topic", b"last")], TIMEOUT).address != second.address:
                assert time.monotonic() < deadline
            with pytest.raises(NoRelayError, match="the last messages may be lost"):
                connection.close(60)


def test_a_message_that_is_written_before_the_relay_leaves_is_taken() -> None:
    with connected(read_nothing) as (_, connection):
        assert connection.send([(b"topic", b"small")], TIMEOUT).fault is None
        connection.close(60)


@pytest.mark.parametrize("then", [subscribe_without_end, subscribe_and_ping])
def test_subscriptions_without_end_neither_hold_up_nor_end_a_script(then: Callable[[socket.socket], None]) -> None:
    with connected(then) as (_, connection):
        for _ in range(5):
            began = time.monotonic()
            connection.send([(b"topic", b"body")], TIMEOUT)
            assert time.monotonic() - began < bounded(TIMEOUT)
            time.sleep(0.1)


def test_signals_do_not_make_the_timeout_begin_anew() -> None:
    with connected(read_nothing) as (_, connection):
        previous = signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        try:
            began = time.monotonic()
            sent = connection.send([MESSAGE] * 5000, TIMEOUT)
            assert time.monotonic() - began < bounded(TIMEOUT)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
    assert sent.number < 5000
    assert "took nothing for 1 s" in str(sent.fault)


WITH_FREE_DESCRIPTORS = """
import contextlib, os, resource, sys
from fedmsg_relay.inbound import InboundConnection

free, address, taken = int(sys.argv[1]), sys.argv[2], []
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
with contextlib.suppress(OSError):
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
for descriptor in taken[:free]:
    os.close(descriptor)
print(InboundConnection([address], "here").send([(b"topic", b"body")], 1.0).fault)
"""


@pytest.mark.parametrize("free", [*range(SPARE_DESCRIPTORS + 1), 50])
def test_a_process_without_free_descriptors_goes_on(free: int) -> None:
    """libzmq would end it."""
    with contextlib.closing(Inbound(read_nothing)) as inbound:
        command = [sys.executable, "-c", WITH_FREE_DESCRIPTORS, str(free), inbound.address]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    if free == 50:
        assert ran.stdout == "None\n"
    elif free < SPARE_DESCRIPTORS:
        assert "no connection to a relay can be opened: Too many open files; not sent" in ran.stdout
