"""The receiver of inbound and submit, with real connections, at moments that no client can choose."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from fedmsg_relay import zmtp
from fedmsg_relay.greeter import Peer
from fedmsg_relay.receiver import Receiver
from harness import wait_until
from ports import HeldPort
from wire import RawPeer, frame

BOUNDS = 1_000_000, 2000, 10_000_000


@pytest.fixture
def bound() -> Iterator[tuple[Receiver, str]]:
    port = HeldPort()
    address = f"tcp://127.0.0.1:{port.number}"
    receiver = Receiver("submitter", zmtp.ROUTER)
    try:
        receiver.bind(address)
        yield receiver, address
    finally:
        receiver.close()
        port.release()


def heard(receiver: Receiver) -> tuple[Peer, zmtp.Message]:
    """The next message, and whose it is."""
    found: list[tuple[Peer, zmtp.Message]] = []

    def look() -> bool:
        for peer, messages in receiver.receive(*BOUNDS):
            found.extend((peer, message) for message in messages)
        return bool(found)

    wait_until(look, "a message")
    return found[0]


def test_a_peer_that_resets_with_answers_unread_ends_nothing(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    client = RawPeer(address).shake_hands(b"DEALER")
    client.send(frame(b"", more=True) + frame(b"question"))
    peer, _ = heard(receiver)
    while not peer.unsent:  # until its kernel takes no more
        assert receiver.reply(peer, [b"", b"x" * 50_000])
        receiver.flush()
    client.reset()

    def forgotten() -> bool:
        list(receiver.receive(*BOUNDS))
        return peer.gone

    wait_until(forgotten, "the peer is forgotten")
    assert not receiver.reply(peer, [b"too late"])
    other = RawPeer(address).shake_hands(b"DEALER")
    other.send(frame(b"", more=True) + frame(b"another"))
    assert heard(receiver)[1] == [b"", b"another"]
    other.close()


def test_what_a_peer_sends_with_its_handshake_is_heard(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    host, port = address.removeprefix("tcp://").split(":")
    with contextlib.closing(socket.create_connection((host, int(port)))) as client:
        client.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready + frame(b"", more=True) + frame(b"at once"))
        assert heard(receiver)[1] == [b"", b"at once"]
