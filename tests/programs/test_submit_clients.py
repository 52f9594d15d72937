"""Clients of submit that are unlike others: in a flood, gone before the answer, with the name of another."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq

from bus import Bus
from harness import PATIENCE, wait_until
from messages import Message, envelope, numbered
from raw import RawPeer, frame
from submitted import last_seq
from wire import Submitter, accepted


def journal_time(bus: Bus, *command: str) -> float:
    """When the relay took the one message that the command prints."""
    ran = bus.host.run("fedmsg-relay", "journal", *command)
    taken: float = json.loads(ran.stdout)["time"]
    return taken


def test_submit_is_answered_while_inbound_is_flooded(submit_bus: Bus, submitter: Submitter) -> None:
    publishers = [submit_bus.sockets.publisher(submit_bus.host.inbound) for _ in range(4)]
    flood = [(b"org.example.flood", b'{"n":%d}' % n) for n in range(15_000)]
    # The relay stands still meanwhile, so that it finds all of it in one turn.
    submit_bus.relay.running.popen.send_signal(19)
    for publisher in publishers:
        publisher.send_all(flood)
    asked = envelope("org.example.test.asked", 1)
    submitter.send(asked)
    submit_bus.relay.running.popen.send_signal(18)
    (seq, _) = submitter.answer()["seq"]
    submit_bus.listener.wait_for(asked)
    wait_until(lambda: submit_bus.relay.settled()["received"] > 4 * len(flood), "all of it is received")
    assert seq < last_seq(submit_bus), "it was taken before the flood was over"


def test_a_flood_of_nothing_does_not_hold_up_the_relay(submit_bus: Bus, submitter: Submitter) -> None:
    publishers = [submit_bus.sockets.publisher(submit_bus.host.inbound) for _ in range(4)]
    # The relay stands still meanwhile, so that it finds all of it in one turn.
    submit_bus.relay.running.popen.send_signal(19)
    for publisher in publishers:
        for _ in range(10_000):
            publisher.send(b"")
    submitter.send(*numbered(1))
    submit_bus.relay.running.popen.send_signal(18)
    (seq, _) = submitter.answer()["seq"]
    wait_until(lambda: submit_bus.relay.messages()["quarantined"] == 40_000, "all of it is counted")
    assert journal_time(submit_bus, "export", "--after", str(seq - 1)) < journal_time(
        submit_bus, "quarantine", "-n", "1", "--json"
    ), "it was taken before the flood was over"


def test_a_client_that_leaves_before_its_answer_does_no_harm(submit_bus: Bus, submitter: Submitter) -> None:
    submit_bus.relay.running.popen.send_signal(19)
    gone = RawPeer(submit_bus.host.submit)
    hello = [submit_bus.sockets.submitter(submit_bus.host.submit) for _ in range(3)]
    submit_bus.relay.running.popen.send_signal(18)
    gone.shake_hands(b"DEALER")
    for number, client in enumerate(hello):
        assert client.ask(*numbered(1, start=number))["status"] == "accepted"
    submit_bus.relay.running.popen.send_signal(19)
    (message,) = numbered(1, start=10)
    gone.send(frame(b"", more=True) + frame(b"FMR1", more=True) + frame(message[0], more=True) + frame(message[1]))
    gone.close()
    submit_bus.relay.running.popen.send_signal(18)
    # Without its answer it may have been taken all the same.
    submit_bus.listener.expect([*numbered(3), message])
    assert submitter.ask(message)["duplicates"] == 1


def named_client(bus: Bus, identity: bytes) -> zmq.Socket[bytes]:
    client = bus.sockets.context.socket(zmq.DEALER)
    client.linger, client.identity = 0, identity
    client.connect(bus.host.submit)
    return client


def ask_raw(client: zmq.Socket[bytes], message: Message) -> dict[str, Any]:
    client.send_multipart([b"", b"FMR1", *message])
    assert client.poll(int(PATIENCE * 1000)), "no answer"
    empty, version, answer = client.recv_multipart()
    assert (empty, version) == (b"", b"FMR1")
    found: dict[str, Any] = json.loads(answer)
    return found


NAMES = {"short": b"x", "protocol": b"FMR1", "control characters": b"a\r\n\0", "the longest": b"\xff" * 255}


@pytest.mark.parametrize("identity", NAMES.values(), ids=NAMES.keys())
def test_a_client_may_name_itself_as_it_likes(submit_bus: Bus, last: int, identity: bytes) -> None:
    with named_client(submit_bus, identity) as client:
        assert ask_raw(client, *numbered(1)) == accepted(last + 1, last + 1)
    submit_bus.listener.expect(numbered(1))


def test_a_client_with_the_name_of_another_gets_none_of_its_receipts(submit_bus: Bus, last: int) -> None:
    one, other, two = numbered(3)
    with named_client(submit_bus, b"same") as first:
        assert ask_raw(first, one) == accepted(last + 1, last + 1)
        with named_client(submit_bus, b"same") as second:
            assert ask_raw(second, other) == accepted(last + 2, last + 2)
            assert ask_raw(first, two) == accepted(last + 3, last + 3)
            assert not second.poll(0)
    submit_bus.listener.expect([one, other, two])
