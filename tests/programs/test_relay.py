"""Each message comes out as it came in: byte for byte, in order, at every listener."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from bus import Bus, join
from harness import wait_until
from messages import Message, numbered
from wire import Sockets

TOPIC = b"org.example.test.bytes"

EXACT = {
    "odd whitespace": b' {  "b" :\t1 ,\r\n "a":[ 1,2 ,3 ] }\n ',
    "key order": b'{"z":1,"a":2,"m":{"y":1,"b":2}}',
    "duplicate keys": b'{"a":1,"a":2,"a":{"b":1,"b":2}}',
    "numbers as written": b'{"f":1e5,"g":1E+05,"h":1.10,"i":-0.0,"j":-0,"k":12345678901234567890123}',
    "unicode escapes": b'{"a":"\\u00e9\\u0065","b":"\\ud83d\\ude00","c":"\\/"}',
    "lone surrogate escape": b'{"a":"\\ud800"}',
    "plain UTF-8": '{"ключ":"héllo 😀 \u2028"}'.encode(),
    "NaN and infinities": b'{"a":NaN,"b":Infinity,"c":-Infinity}',
    "an escaped NUL": b'{"a":"\\u0000"}',
    "a string": b'"just text"',
    "a number": b"1",
    "a list": b'[1,"two",{"three":3}]',
    "null": b"null",
    "true": b"true",
    "an empty object": b"{}",
    "nested as deep as usual code does": b'{"a":' * 200 + b"1" + b"}" * 200,
    "signed": json.dumps({"crypto": "x509", "signature": "MIIB\nAA==\n", "certificate": "LS0t\n", "msg": {}}).encode(),
    "a foreign topic inside": b'{"topic":"org.example.another","msg":{}}',
}


@pytest.mark.parametrize("body", EXACT.values(), ids=EXACT.keys())
def test_a_body_comes_out_as_it_went_in(shared_bus: Bus, body: bytes) -> None:
    shared_bus.publisher.send(TOPIC, body)
    shared_bus.listener.expect([(TOPIC, body)])


@pytest.mark.parametrize(
    "topic",
    [b"", b" ", "тема.😀".encode(), b"a\0b", b"t" * 5000, b"_internal.$x", b"\x01\n"],
    ids=["empty", "blank", "unicode", "NUL", "long", "odd", "control characters"],
)
def test_a_topic_comes_out_as_it_went_in(shared_bus: Bus, topic: bytes) -> None:
    shared_bus.publisher.send(topic, b'{"msg":{}}')
    shared_bus.listener.expect([(topic, b'{"msg":{}}')])


def test_ten_megabytes_come_out_as_they_went_in(shared_bus: Bus) -> None:
    body = b'{"msg":"' + b"0123456789abcdef" * (10 * 2**20 // 16) + b'"}'
    shared_bus.publisher.send(TOPIC, body)
    shared_bus.listener.expect([(TOPIC, body)])


def test_ten_thousand_messages_keep_their_order(shared_bus: Bus) -> None:
    sent = numbered(10_000)
    shared_bus.publisher.send_all(sent)
    shared_bus.listener.expect(sent)


def test_each_publisher_keeps_its_own_order(shared_bus: Bus, sockets: Sockets) -> None:
    publishers = [sockets.publisher(shared_bus.host.inbound) for _ in range(5)]
    sent = [[(b"org.example.%d" % who, b"%d" % n) for n in range(500)] for who in range(5)]
    for row in zip(*sent, strict=True):
        for publisher, message in zip(publishers, row, strict=True):
            publisher.send(*message)
    for messages in sent:
        last = partial(shared_bus.listener.heard, messages[-1])
        wait_until(last, "the last message of each publisher")
    everything = shared_bus.listener.messages
    for who, messages in enumerate(sent):
        assert [m for m in everything if m[0] == b"org.example.%d" % who] == messages


def test_every_listener_hears_everything(shared_bus: Bus, sockets: Sockets) -> None:
    listeners = [sockets.listener(shared_bus.host.outbound) for _ in range(20)]
    join(shared_bus.publisher, shared_bus.listener, *listeners)
    sent = numbered(200)
    shared_bus.publisher.send_all(sent)
    for listener in [shared_bus.listener, *listeners]:
        listener.expect(sent)


def test_a_listener_hears_only_the_topics_it_asked_for(shared_bus: Bus, sockets: Sockets) -> None:
    picky = sockets.listener(shared_bus.host.outbound, topic=b"org.example.test")
    join(shared_bus.publisher, shared_bus.listener, picky)
    wanted: list[Message] = numbered(3)
    for message in wanted:
        shared_bus.publisher.send(b"org.example.other", b"{}")
        shared_bus.publisher.send(*message)
    picky.expect(wanted)


def test_a_listener_that_stands_still_does_not_hold_up_the_others(shared_bus: Bus, sockets: Sockets) -> None:
    still = sockets.listener(shared_bus.host.outbound)
    join(shared_bus.publisher, shared_bus.listener, still)
    body = b'"' + b"x" * 100_000 + b'"'
    sent = [(b"org.example.%d" % n, body) for n in range(300)]
    for message in sent:  # the still one never takes anything from its socket
        shared_bus.publisher.send(*message)
        shared_bus.listener.expect([message])


def test_everything_received_is_accounted_for(shared_bus: Bus) -> None:
    before = shared_bus.relay.status()["messages"]
    shared_bus.publisher.send_all(numbered(50))
    shared_bus.publisher.send(b"org.example", b"not json")
    shared_bus.publisher.send_all(numbered(1, start=50))
    shared_bus.listener.expect(numbered(51))
    after = shared_bus.relay.status()["messages"]
    changed = {key: after[key] - before[key] for key in ("received", "published", "dropped")}
    assert changed == {"received": 52, "published": 51, "dropped": 1}
    assert after["received"] == after["published"] + after["dropped"]


def test_the_process_is_called_fedmsg_relay(shared_bus: Bus) -> None:
    assert Path(f"/proc/{shared_bus.relay.pid}/comm").read_text() == "fedmsg-relay\n"


def test_an_idle_relay_is_idle(bus: Bus) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{bus.relay.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    # A loop that spins uses 100 ticks a second; whatever else runs here can only make it fewer.
    before = ticks()
    with pytest.raises(AssertionError):
        bus.relay.systemd.wait_for("NEVER=1", timeout=2)
    assert ticks() - before < 40
