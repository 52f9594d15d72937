"""A message that would break a stock listener never reaches one: it is counted by reason, and the relay goes on.

All of it goes past one running stock fedmsg-tail, which has to print the good message after each.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

import stock
from bus import Bus, join
from harness import wait_until
from messages import Message, envelope
from raw import RawPeer, frame

TOPIC = b"org.example.test.bad"
LIMIT = 16 * 2**20

BAD = {
    "no body": ([TOPIC], "frame-count"),
    "one empty frame": ([b""], "frame-count"),
    "three frames": ([TOPIC, b"{}", b"{}"], "frame-count"),
    "nine frames": ([TOPIC, *[b"{}"] * 8], "frame-count"),
    "a topic that is not UTF-8": ([b"org.\xff\xfe", b"{}"], "topic-not-utf8"),
    "a topic cut in a character": ([b"org.\xc3", b"{}"], "topic-not-utf8"),
    "a topic with an encoded surrogate": ([b"org.\xed\xa0\x80", b"{}"], "topic-not-utf8"),
    "a body that is not UTF-8": ([TOPIC, b'{"a":"\xff"}'], "body-not-utf8"),
    "Latin-1": ([TOPIC, '{"a":"é"}'.encode("latin-1")], "body-not-utf8"),
    "an overlong character": ([TOPIC, b'{"a":"\xc0\x80"}'], "body-not-utf8"),
    "an encoded surrogate": ([TOPIC, b'{"a":"\xed\xa0\x80"}'], "body-not-utf8"),
    "JSON in UTF-16": ([TOPIC, '{"a":1}'.encode("utf-16")], "body-not-utf8"),
    "JSON in UTF-16 without a mark": ([TOPIC, '{"a":1}'.encode("utf-16-le")], "body-not-json"),
    "JSON in UTF-32 without a mark": ([TOPIC, '{"a":1}'.encode("utf-32-be")], "body-not-json"),
    "a byte order mark": ([TOPIC, b'\xef\xbb\xbf{"a":1}'], "body-not-json"),
    "an empty body": ([TOPIC, b""], "body-not-json"),
    "two empty frames": ([b"", b""], "body-not-json"),
    "only whitespace": ([TOPIC, b" \n"], "body-not-json"),
    "plain text": ([TOPIC, b"hello"], "body-not-json"),
    "single quotes": ([TOPIC, b"{'a': 1}"], "body-not-json"),
    "cut short": ([TOPIC, b'{"a":1'], "body-not-json"),
    "trailing garbage": ([TOPIC, b'{"a":1} x'], "body-not-json"),
    "two values": ([TOPIC, b'{"a":1}{"b":2}'], "body-not-json"),
    "trailing NUL": ([TOPIC, b'{"a":1}\0'], "body-not-json"),
    "trailing comma": ([TOPIC, b'{"a":1,}'], "body-not-json"),
    "a comment": ([TOPIC, b'{"a":1} // x'], "body-not-json"),
    "a raw newline in a string": ([TOPIC, b'{"a":"\n"}'], "body-not-json"),
    "a bad escape": ([TOPIC, b'{"a":"\\x41"}'], "body-not-json"),
    "a leading zero": ([TOPIC, b"01"], "body-not-json"),
    "nan in small letters": ([TOPIC, b"nan"], "body-not-json"),
    "whitespace that JSON does not know": ([TOPIC, "\u00a0{}".encode()], "body-not-json"),
    "lists nested 100,000 deep": ([TOPIC, b"[" * 100_000 + b"]" * 100_000], "too-deep"),
    "objects nested 100,000 deep": ([TOPIC, b'{"a":' * 100_000 + b"1" + b"}" * 100_000], "too-deep"),
    "one byte too large": ([TOPIC, b'"' + b"x" * (LIMIT - len(TOPIC) - 1) + b'"'], "too-large"),
    "a body above the limit": ([TOPIC, b'"' + b"x" * LIMIT + b'"'], "too-large"),
    "a topic above the limit": ([b"x" * (LIMIT + 1), b"{}"], "too-large"),
}


@dataclass(frozen=True)
class Watched:
    """A bus whose outbound also feeds a stock fedmsg-tail."""

    bus: Bus
    tail: stock.StockTail

    def counters(self) -> dict[str, int]:
        status = self.bus.relay.status()
        messages = status["messages"]
        assert messages["received"] == messages["published"] + messages["dropped"]
        assert messages["dropped"] == sum(status["dropped"].values())
        counters: dict[str, int] = status["dropped"]
        return counters

    def only_the_good_one_comes_out(self) -> None:
        good = envelope("org.example.test.good", next(_number))
        last = envelope("org.example.test.last", next(_number))
        # The one before may have made the relay hang up; a publisher reconnects by itself.
        wait_until(partial(self._send_until_heard, good), "a good message gets through")
        self.bus.publisher.send(*last)
        assert set(self.bus.listener.wait_for(last)) == {good, last}
        wait_until(partial(self.tail.heard, last), "the tail prints the last message")
        assert set(self.tail.printed()) == {stock.printed_form(good), stock.printed_form(last)}
        self.tail.forget()

    def _send_until_heard(self, good: Message) -> bool:
        self.bus.publisher.send(*good)
        return self.bus.listener.heard(good) and self.tail.heard(good)


_number = itertools.count()


@pytest.fixture(scope="module")
def module_watched(module_bus: Bus) -> Iterator[Watched]:
    tail = stock.StockTail(module_bus.host)
    join(module_bus.publisher, module_bus.listener, tail)
    yield Watched(module_bus, tail)
    assert tail.process.alive()
    assert module_bus.relay.running.alive()


@pytest.fixture
def watched(module_watched: Watched) -> Watched:
    join(module_watched.bus.publisher, module_watched.bus.listener, module_watched.tail)
    return module_watched


def changed(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {key: after[key] - before[key] for key in after if after[key] != before[key]}


@pytest.mark.parametrize(("frames", "reason"), BAD.values(), ids=BAD.keys())
def test_it_is_kept_from_listeners_and_counted(watched: Watched, frames: list[bytes], reason: str) -> None:
    before = watched.counters()
    watched.bus.publisher.send(*frames)
    watched.only_the_good_one_comes_out()
    assert changed(before, watched.counters()) == {reason: 1}


def test_bad_ones_among_good_ones_cost_none_of_the_good(shared_bus: Bus) -> None:
    good = [envelope("org.example.test.between", n) for n in range(200)]
    small = [frames for frames, _ in BAD.values() if sum(map(len, frames)) < 1000]
    for message, bad in zip(good, itertools.cycle(small), strict=False):
        shared_bus.publisher.send(*message)
        shared_bus.publisher.send(*bad)
    shared_bus.publisher.send(*envelope("org.example.test.between", 200))
    shared_bus.listener.expect([*good, envelope("org.example.test.between", 200)])


def test_nesting_near_the_edge_of_what_python_can_parse_kills_no_listener(watched: Watched) -> None:
    for depth in [*range(500, 950, 50), *range(950, 1010)]:
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            body = opening * depth + b"1" + closing * depth
            watched.bus.publisher.send(b"org.example.test.deep", body)
    last = envelope("org.example.test.last", 0)
    watched.bus.publisher.send(*last)
    watched.bus.listener.wait_for(last)
    wait_until(lambda: watched.tail.heard(last), "the tail prints the last message")
    watched.tail.forget()


GREETING = b"\xff" + bytes(8) + b"\x7f"
NOISE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: relay\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
    "HTTP with a body": b"POST /x HTTP/1.1\r\nContent-Length: 2000\r\n\r\n" + b"a=1&" * 500,
    "TLS": bytes.fromhex("16030102000100") + bytes(505),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "lines of text": b"hello\nis anyone there?\n" * 100,
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "an unknown mechanism": GREETING + b"\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32),
    "a greeting and then garbage": GREETING
    + b"\x03\x00"
    + b"NULL".ljust(20, b"\0")
    + bytes(32)
    + b"\x04\x05HELLO" * 20,
    "ZMTP 1 with one frame": b"\x01\x00\x03\x00{}",
    "ZMTP 2": GREETING + b"\x01\x01\x00\x00\x00\x02{}",
}


def refused(watched: Watched) -> int:
    """How much of what came was refused, as a connection or as a message."""
    status = watched.bus.relay.status()
    connections = status["connections"]
    count: int = connections["handshake_failed"] + connections["cut"] + sum(status["dropped"].values())
    return count


@pytest.mark.parametrize("way", ["inbound", "outbound"])
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
def test_requests_outside_the_protocol_are_refused_and_counted(watched: Watched, noise: bytes, way: str) -> None:
    before = refused(watched)
    peer = RawPeer(getattr(watched.bus.host, way))
    peer.send(noise)
    peer.finish()
    wait_until(lambda: refused(watched) > before, f"a counter for noise on {way}")
    watched.only_the_good_one_comes_out()


def seeded() -> Random:
    """Bytes without sense, the same in every run."""
    return Random(2026)  # noqa: S311 -- nothing here is secret


def test_random_bytes_do_no_harm(watched: Watched) -> None:
    random = seeded()
    for size in range(1, 4000, 133):
        for address in (watched.bus.host.inbound, watched.bus.host.outbound):
            peer = RawPeer(address)
            peer.send(random.randbytes(size))
            peer.finish()
    watched.only_the_good_one_comes_out()


def test_random_frames_do_no_harm(watched: Watched) -> None:
    random = seeded()
    for _ in range(50):
        peer = RawPeer(watched.bus.host.inbound).shake_hands()
        for _ in range(random.randrange(20)):
            # Each has an odd byte, so that no body is JSON by chance.
            peer.send(frame(b"\xff" + random.randbytes(random.randrange(300)), more=random.random() < 0.5))
        peer.send(random.randbytes(random.randrange(20)))
        peer.finish()
    watched.only_the_good_one_comes_out()


def test_silent_connections_do_no_harm(watched: Watched) -> None:
    host = watched.bus.host
    peers = [RawPeer(address) for address in (host.inbound, host.outbound) for _ in range(50)]
    watched.only_the_good_one_comes_out()
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("size", [2**30, 2**40, 2**63 - 1, 2**64 - 1])
def test_an_announced_frame_far_above_the_limit_costs_no_memory(watched: Watched, size: int) -> None:
    before = watched.bus.relay.memory()
    peer = RawPeer(watched.bus.host.inbound).shake_hands()
    peer.send(frame(TOPIC, more=True) + struct.pack(">BQ", 2, size) + b"x" * 1000)
    peer.wait_closed()
    peer.close()
    watched.only_the_good_one_comes_out()
    assert watched.bus.relay.memory() - before < 2**24


def test_a_message_that_is_never_finished_does_no_harm(watched: Watched) -> None:
    peer = RawPeer(watched.bus.host.inbound).shake_hands()
    peer.send(frame(TOPIC, more=True) + frame(b'{"unfinished":1}')[:-3])
    watched.only_the_good_one_comes_out()
    peer.close()
    watched.only_the_good_one_comes_out()


def test_frames_from_a_listener_are_not_messages(watched: Watched) -> None:
    peer = RawPeer(watched.bus.host.outbound).shake_hands(b"SUB")
    peer.send(frame(b"\x01org"))
    peer.send(frame(TOPIC, more=True) + frame(b'{"from":"a listener"}'))
    peer.send(frame(b"{}") + frame(b"") + frame(b"\x02") + frame(b"\x00unsubscribed") * 50)
    watched.only_the_good_one_comes_out()
    peer.close()


def test_the_log_names_each_reason_and_the_peer(watched: Watched) -> None:
    one_of_each = {reason: frames for frames, reason in BAD.values()}
    for reason, frames in one_of_each.items():
        watched.bus.publisher.send(*frames)
        watched.bus.relay.wait_for_log("WARNING", "dropped", reason, "127.0.0.1")
    peer = RawPeer(watched.bus.host.inbound)
    peer.send(NOISE["SSH"])
    watched.bus.relay.wait_for_log("WARNING", "handshake failed", "127.0.0.1")
    peer.close()
    watched.only_the_good_one_comes_out()


def test_a_flood_of_bad_input_does_not_flood_the_log(watched: Watched) -> None:
    before = len(watched.bus.relay.log_lines("dropped"))
    for _ in range(5000):
        watched.bus.publisher.send(TOPIC, b"no json")
    watched.only_the_good_one_comes_out()
    assert len(watched.bus.relay.log_lines("dropped")) - before <= 5
