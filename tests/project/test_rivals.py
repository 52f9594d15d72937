"""script/bench's clients of the rivals: what they send, and that only a receipt counts as one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks import tables
from benchmarks.contenders import OURS
from benchmarks.plan import BenchError
from benchmarks.rivals import syncs
from benchmarks.rivals.amqp import Amqp
from benchmarks.rivals.asking import ask
from benchmarks.rivals.client import Client
from benchmarks.rivals.dialects import JetStream, Resp, Submit
from benchmarks.work import TOPIC, Work
from pika import frame, spec

from raw import frame as zmtp

BODIES = [b'{"i": 1}', b'{"i": 2}']


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The server's end of the connection that the test's client makes."""
    ours, theirs = socket.socketpair()
    for kind in (Client, Submit):
        monkeypatch.setattr(kind, "connect", lambda *_: ours)
    with ours, theirs:
        yield theirs


def answered(client: Client, *chunks: bytes) -> list[bool]:
    """Whether the client has all receipts, after each chunk of the answer."""
    client.heard += chunks
    return [client.complete(chunk) for chunk in chunks]


def sent(client: Client, wire: socket.socket, bodies: list[bytes]) -> bytes:
    request = client.request(bodies)
    assert request.messages == len(bodies)
    client.send(request)
    return wire.recv(65536)


def test_submit_takes_a_receipt_for_all_messages_of_a_request(wire: socket.socket) -> None:
    client = Submit(0)
    parts = [b"", b"FMR1", TOPIC, BODIES[0], TOPIC]
    assert sent(client, wire, BODIES) == b"".join(zmtp(part, more=True) for part in parts) + zmtp(BODIES[1])
    reply = zmtp(b"", more=True) + zmtp(b'{"status":"accepted","seq":[17,18],"duplicates":0}')
    assert answered(client, reply[:20], reply[20:]) == [False, True]
    assert list(client.receipts()) == [17, 18]


def test_submit_takes_no_refusal_for_a_receipt(wire: socket.socket) -> None:
    client = Submit(0)
    sent(client, wire, BODIES)
    answered(client, zmtp(b"", more=True) + zmtp(b'{"status":"busy","retry_after":2.0}'))
    with pytest.raises(BenchError, match="busy"):
        list(client.receipts())


def test_redis_gets_a_pipeline_and_gives_an_id_for_each_message(wire: socket.socket) -> None:
    client = Resp(0)
    one = b"*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$4\r\nbody\r\n$8\r\n" % (len(TOPIC), TOPIC)
    assert sent(client, wire, BODIES) == one + BODIES[0] + b"\r\n" + one + BODIES[1] + b"\r\n"
    assert answered(client, b"$15\r\n1795000000000-0\r\n$15\r", b"\n1795000000000-1\r", b"\n") == [False, False, True]
    assert list(client.receipts()) == [b"1795000000000-0", b"1795000000000-1"]


def test_an_error_of_redis_ends_the_wait(wire: socket.socket) -> None:
    client = Resp(0)
    sent(client, wire, BODIES)
    assert answered(client, b"$15\r\n1795000000000-0\r\n-OOM command not allowed\r\n") == [True]
    with pytest.raises(BenchError, match="OOM"):
        client.receipts()


@pytest.fixture
def jetstream(wire: socket.socket) -> JetStream:
    wire.sendall(b'INFO {"version":"2.10.27","client_id":5}\r\nPONG\r\n')
    client = JetStream(0)
    assert wire.recv(65536).endswith(b"\r\nSUB _INBOX.bench.5 1\r\nPING\r\n")
    return client


def test_jetstream_answers_each_message_in_the_inbox(jetstream: JetStream, wire: socket.socket) -> None:
    one = b"PUB %s _INBOX.bench.5 8\r\n" % TOPIC
    assert sent(jetstream, wire, BODIES) == one + BODIES[0] + b"\r\n" + one + BODIES[1] + b"\r\n"
    first, second = (b'MSG _INBOX.bench.5 1 27\r\n{"stream":"bench", "seq":%d}\r\n' % number for number in (100, 101))
    assert answered(jetstream, first + second[:30], second[30:]) == [False, True]
    assert list(jetstream.receipts()) == [100, 101]


def test_an_error_of_jetstream_is_not_a_receipt(jetstream: JetStream, wire: socket.socket) -> None:
    sent(jetstream, wire, BODIES[:1])
    answered(jetstream, b'MSG _INBOX.bench.5 1 70\r\n{"error":{"code":503},"stream":"bench","seq":0}\r\n')
    with pytest.raises(BenchError, match="503"):
        jetstream.receipts()


@pytest.fixture
def amqp(wire: socket.socket) -> Amqp:
    hello = [
        (0, spec.Connection.Start(server_properties={"version": "3.10.8"})),
        (0, spec.Connection.Tune(2047, 131072, 60)),
        (0, spec.Connection.OpenOk()),
        (1, spec.Channel.OpenOk()),
        (1, spec.Confirm.SelectOk()),
    ]
    wire.sendall(b"".join(frame.Method(channel, method).marshal() for channel, method in hello))
    client = Amqp(0, "bench")
    assert client.version == "3.10.8"
    wire.recv(65536)
    return client


def acks(*methods: Any) -> bytes:
    return b"".join(frame.Method(1, method).marshal() for method in methods)


def test_rabbitmq_gets_persistent_messages(amqp: Amqp, wire: socket.socket) -> None:
    data = sent(amqp, wire, BODIES)
    read = []
    while data:
        size, one = frame.decode_frame(data)
        read.append(one)
        data = data[size:]
    assert [one.method.routing_key for one in read[::3]] == ["bench", "bench"]
    assert [one.properties.delivery_mode for one in read[1::3]] == [2, 2]
    assert [one.fragment for one in read[2::3]] == BODIES


def test_confirms_come_in_any_order_and_for_several_messages(amqp: Amqp, wire: socket.socket) -> None:
    ack = spec.Basic.Ack
    sent(amqp, wire, BODIES * 2)
    data = acks(ack(2), ack(4), ack(3, multiple=True))
    assert answered(amqp, data[:30], data[30:62], data[62:]) == [False, False, True]
    sent(amqp, wire, BODIES[:1])
    assert answered(amqp, acks(ack(5))) == [True]
    assert sorted(tag for _, tag in amqp.receipts()) == [1, 2, 3, 4, 5]


def test_a_nack_is_not_a_receipt(amqp: Amqp, wire: socket.socket) -> None:
    sent(amqp, wire, BODIES)
    with pytest.raises(BenchError, match="not an ack"):
        answered(amqp, acks(spec.Basic.Nack(1)))


class Scripted(Resp):
    """A client whose server has answered before it is asked."""

    ANSWER = b""

    def connect(self, _port: int) -> socket.socket:
        ours, self.theirs = socket.socketpair()
        self.theirs.sendall(self.ANSWER)
        if not self.ANSWER:
            self.theirs.shutdown(socket.SHUT_WR)
        return ours


class Given(Scripted):
    ANSWER = b"$3\r\n1-0\r\n$3\r\n1-1\r\n"


class GivenTwice(Scripted):
    ANSWER = b"$3\r\n1-0\r\n$3\r\n1-0\r\n"


class Refused(Scripted):
    ANSWER = b"-OOM command not allowed\r\n"


@pytest.mark.parametrize(("kind", "receipts"), [(Given, 2), (GivenTwice, 1)])
def test_each_message_needs_a_receipt_of_its_own(kind: type[Scripted], receipts: int) -> None:
    asked = ask(lambda: kind(0), Work(2, 300), batch=2)
    assert asked.receipts == receipts
    assert asked.seconds > 0


@pytest.mark.parametrize(("kind", "fault"), [(Refused, "OOM"), (Scripted, "hung up")])
def test_a_fault_of_the_server_ends_the_measurement_in_a_line(kind: type[Scripted], fault: str) -> None:
    with pytest.raises(BenchError, match=fault):
        ask(lambda: kind(0), Work(2, 300), batch=2)


def test_a_sync_counts_once_even_if_another_thread_interrupts_its_line() -> None:
    calls = """\
812 fdatasync(9)                       = 0
813 fsync(11 <unfinished ...>
812 fdatasync(9)                       = 0
813 <... fsync resumed>)               = 0
812 +++ exited with 0 +++
"""
    assert syncs.count(calls) == 3


def test_the_table_says_which_rival_is_ahead() -> None:
    shared = {"clients": 1, "batch": 100, "cpu_us": [5.0, 5.0], "busy": [0.1, 0.1], "verdicts": ["all kept"] * 2}
    rows = [{"of": OURS, "rate": [10.0, 20.0], **shared}, {"of": "rival", "rate": [15.0, 30.0], **shared}]
    rows += [{"script": name, "seconds": [0.2], "cpu": [0.1], "lost": 0} for name in (OURS, "rival")]
    rows += [{"keeper": name, "version": "1", "keeps": "", "syncs": None, "shared": None} for name in (OURS, "rival")]
    line = next(line for line in tables.rivals(rows).splitlines() if "rival" in line)
    assert [cell.strip() for cell in line.split("|")][3:6] == ["rival", "2,250 (1,500..3,000)", "1.50"]
