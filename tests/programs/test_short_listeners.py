"""Peers that connect to outbound and leave, as port checks do: other peers have their file descriptors at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from harness import wait_until
from raw import RawPeer, framed
from relays import Relay

LARGE = b'"' + b"x" * 100_000 + b'"'


@contextlib.contextmanager
def coming_and_going(address: str) -> Iterator[None]:
    """Peers of an address of their own that connect and leave, without a break."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            socket.create_connection((host, int(port)), source_address=("127.0.0.3", 0)).close()

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_publishers_are_not_taken_for_listeners_that_have_left(relay: Relay) -> None:
    relay.start()
    large = framed([(b"org.example.large", LARGE)] * 30)
    with contextlib.ExitStack() as stack:
        with coming_and_going(relay.host.outbound):
            publishers = [stack.enter_context(contextlib.closing(RawPeer(relay.host.inbound))) for _ in range(200)]
            for publisher in publishers:
                publisher.shake_hands()
        for publisher in publishers:
            publisher.send(large)
        wait_until(lambda: relay.messages()["received"] == 30 * len(publishers), "all messages of all publishers")
        assert relay.log_lines("listener cut") == []
    listeners = {line.split()[-1].rpartition(":")[0] for line in relay.log_lines("listener connected")}
    assert listeners <= {"127.0.0.3", ""}, "those that left before they were looked at have no address"
