"""The receiver of inbound and submit, with real connections, at moments that no client can choose."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from fedmsg_relay.network import handshake, zmtp
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.runtime import limits
from harness import PATIENCE, wait_until
from ports import HeldPort
from raw import RawPeer, frame

BOUNDS = 1_000_000, 2000, 10_000_000

GREETING = (
    b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0"
    + b"NULL".ljust(20, b"\0")
    + bytes(32)
    + b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
)
"""ZMTP 3.0 with the NULL mechanism, and the READY of a DEALER."""


@pytest.fixture
def bound() -> Iterator[tuple[Receiver, str]]:
    port = HeldPort()
    address = f"tcp://127.0.0.1:{port.number}"
    receiver = Receiver("submitter", handshake.ROUTER, streams=False)
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


def test_a_message_sent_with_the_handshake_is_heard(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    host, port = address.removeprefix("tcp://").split(":")
    with contextlib.closing(socket.create_connection((host, int(port)))) as client:
        client.sendall(GREETING + frame(b"", more=True) + frame(b"at once"))
        assert heard(receiver)[1] == [b"", b"at once"]


def in_one_turn(receiver: Receiver, client: RawPeer, first: bytes, then: bytes) -> list[zmtp.Message]:
    """What one turn takes of a client that sends more while the turn is taking what it has sent first."""
    client.send(frame(b"", more=True) + frame(first))
    taken: list[zmtp.Message] = []

    def turn() -> bool:
        for peer, messages in receiver.receive(*BOUNDS):
            taken.extend(messages)
            if len(taken) == 1:
                client.send(frame(b"", more=True) + frame(then))
                assert select.select([peer], [], [], PATIENCE)[0]  # it has come
        return bool(taken)

    wait_until(turn, "a message")
    return taken


def test_a_turn_that_has_read_much_takes_what_comes_meanwhile(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    client = RawPeer(address).shake_hands(b"DEALER")
    much = bytes(limits.GATHER_BYTES)
    assert in_one_turn(receiver, client, much, b"meanwhile") == [[b"", much], [b"", b"meanwhile"]]
    client.close()


def test_a_turn_that_has_read_little_leaves_what_comes_meanwhile_to_the_next(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    client = RawPeer(address).shake_hands(b"DEALER")
    assert in_one_turn(receiver, client, b"little", b"meanwhile") == [[b"", b"little"]]
    assert heard(receiver)[1] == [b"", b"meanwhile"]
    client.close()


def test_a_turn_does_not_take_what_comes_for_longer_than_its_time(
    bound: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATHER_SECONDS", 0.0)
    receiver, address = bound
    client = RawPeer(address).shake_hands(b"DEALER")
    much = bytes(limits.GATHER_BYTES)
    assert in_one_turn(receiver, client, much, b"meanwhile") == [[b"", much]]
    client.close()


LARGE = 200_000


def peers_with_large_messages(address: str, number: int) -> list[RawPeer]:
    """Connections, each with a message of which all but the last byte is sent."""
    peers = [RawPeer(address).shake_hands(b"DEALER") for _ in range(number)]
    for peer in peers:
        peer.send(frame(b"", more=True) + frame(bytes(LARGE))[:-1])
    return peers


def test_large_messages_of_many_peers_are_all_read_and_nobody_is_cut(
    bound: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, address = bound
    monkeypatch.setattr(limits, "HELD_BYTES", 2 * LARGE)
    peers = peers_with_large_messages(address, 10)
    for _ in range(20):
        assert not list(receiver.receive(*BOUNDS))
    found: list[zmtp.Message] = []

    def look() -> bool:
        for _, messages in receiver.receive(*BOUNDS):
            found.extend(messages)
        return len(found) == len(peers)

    for peer in reversed(peers):
        peer.send(b"\0")
    wait_until(look, "all messages")
    assert found == [[b"", bytes(LARGE)]] * len(peers)
    assert receiver.connected.cut == 0
    for peer in peers:
        peer.close()


def test_a_peer_that_stalls_in_a_large_message_is_cut_if_others_wait(
    bound: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, address = bound
    monkeypatch.setattr(limits, "HELD_BYTES", LARGE)
    stalled, unfinished = limits.STALLED_SECONDS, limits.UNFINISHED_SECONDS
    for name in ("STALLED_SECONDS", "UNFINISHED_SECONDS"):
        monkeypatch.setattr(limits, name, 600.0)
    stalls = peers_with_large_messages(address, 2)
    wait_until(lambda: not list(receiver.receive(*BOUNDS)) and not receiver.has_more, "the beginning is read")
    (waits,) = peers_with_large_messages(address, 1)
    waits.send(b"\0")
    small = RawPeer(address).shake_hands(b"DEALER")
    small.send(frame(b"", more=True) + frame(b"small"))
    assert heard(receiver)[1] == [b"", b"small"], "only large messages wait"
    assert receiver.connected.cut == 0
    monkeypatch.setattr(limits, "STALLED_SECONDS", stalled)
    monkeypatch.setattr(limits, "UNFINISHED_SECONDS", unfinished)
    assert heard(receiver)[1] == [b"", bytes(LARGE)]
    assert 1 <= receiver.connected.cut <= 2
    for peer in (*stalls, waits, small):
        peer.close()


def test_a_peer_that_was_half_accepted_when_the_door_closed_is_served(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    receiver.greeter.keep_out_newcomers()
    host, port = address.removeprefix("tcp://").split(":")
    with contextlib.closing(socket.socket()) as client:
        client.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)  # for these packets the door is open
        client.connect((host, int(port)))
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
        client.sendall(GREETING + frame(b"", more=True) + frame(b"question"))
        assert heard(receiver)[1] == [b"", b"question"]


def test_a_turn_takes_no_more_than_its_frames_even_of_few_messages(bound: tuple[Receiver, str]) -> None:
    receiver, address = bound
    batch = [*[b"t"] * 1999, b"{}"]
    for client in [RawPeer(address).shake_hands(b"DEALER") for _ in range(12)]:
        client.send((b"".join(frame(part, more=True) for part in batch[:-1]) + frame(batch[-1])) * 10)
    read: list[zmtp.Message] = []
    turns: list[int] = []

    def look() -> bool:
        came = [message for _, messages in receiver.receive(*BOUNDS) for message in messages]
        turns.append(sum(map(len, came)))
        read.extend(came)
        return len(read) == 120

    wait_until(look, "all batches")
    assert read == [batch] * 120
    assert max(turns) < limits.TURN_FRAMES + 30_000  # what one peer sent is taken whole
