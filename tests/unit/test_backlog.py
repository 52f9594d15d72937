"""Submitted batches that wait: whose turn it is, and which client is turned back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fedmsg_relay.daemon.backlog import Backlog, Batch
from fedmsg_relay.daemon.turn import ReturnPath
from fedmsg_relay.network import handshake
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.runtime import limits

HALF = limits.BACKLOG_BYTES // 2


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        yield [Peer(each, f"127.0.0.1:{number}", handshake.ROUTER) for number, each in enumerate(sockets)]


def batch(peer: Peer, name: str, size: int = 10) -> Batch:
    return Batch([(name.encode(), b"{}")], ReturnPath(peer, [b""]), size)


def names(backlog: Backlog) -> list[str]:
    taken = []
    while backlog:
        taken.append(backlog.take().messages[0][0].decode())
    return taken


def test_each_submitter_has_its_turn_whatever_another_has_sent_before(peers: list[Peer]) -> None:
    backlog = Backlog()
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        assert backlog.put(batch(peers["abc".index(name[0])], name))
    assert names(backlog) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_half_of_the_room_is_for_those_of_whom_nothing_waits(peers: list[Peer]) -> None:
    backlog = Backlog()
    greedy, modest, late = peers
    assert backlog.put(batch(greedy, "g1", HALF))
    assert not backlog.put(batch(greedy, "g2"))
    assert backlog.put(batch(modest, "m1", HALF))
    assert not backlog.put(batch(late, "l1"))
    assert backlog.turned_back == 2
    assert names(backlog) == ["g1", "m1"]
    assert backlog.put(batch(late, "l1")), "there is room again"


def test_a_batch_larger_than_the_room_waits_where_half_of_that_is_left(peers: list[Peer]) -> None:
    backlog = Backlog()
    huge, other, late = peers
    assert backlog.put(batch(other, "o1", HALF))
    assert backlog.put(batch(huge, "h1", 10 * HALF))
    assert not backlog.put(batch(late, "l1", 10 * HALF)), "no more than one"
    assert not backlog.put(batch(late, "l1"))
    assert names(backlog) == ["o1", "h1"]
    assert backlog.put(batch(late, "l1", 10 * HALF))


def test_the_waiting_requests_of_one_submitter_are_limited(peers: list[Peer]) -> None:
    backlog = Backlog()
    put = [backlog.put(batch(peers[0], str(number))) for number in range(limits.WAITING_REQUESTS + 1)]
    assert put == [True] * limits.WAITING_REQUESTS + [False]
    assert names(backlog) == [str(number) for number in range(limits.WAITING_REQUESTS)]
