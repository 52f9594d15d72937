"""The bridge back, where a queue has what no message can be made of, or what is large."""

from __future__ import annotations

import json
import struct
from typing import Any

from bridged import PATIENCE, Bridge
from bus import Bus, StartBus
from harness import Host, wait_until
from messages import compare, envelope
from pki import HOST, SCM, Pki
from queued import Queued, RawProperties, wrapped
from submitted import last_seq

BAD: list[tuple[str, bytes, dict[str, Any]]] = [
    ("org.example.bad", b"{}", {}),
    ("org.example.bad", b"no json", {"message_id": "b1"}),
    ("org.example.bad", b"[" * 100_000, {"message_id": "b2"}),
    ("org.example.bad", b"\xff", {"message_id": "b3", "content_encoding": "nonsense"}),
    ("org.example.bad", b"{}", {"message_id": "x" * 255}),
]


def test_a_body_that_is_not_a_message_is_dropped_and_counted(submit_bus: Bus, bridge: Bridge) -> None:
    queued = Queued(bridge)
    bridge.start()
    for key, body, properties in BAD:
        bridge.exchange.publish(key, body, **properties)
    poisoned = {"x-fedmsg-envelope": "{" * 9, "x-fedmsg-seq": "x", "sent-at": ["x"], "x-fedmsg-relay": 5}
    bridge.exchange.publish("org.example.amqp", b"[1]", message_id="odd", headers=poisoned, timestamp=1767323045)
    queued.publish(1)
    wait_until(lambda: submit_bus.listener.heard(wrapped(1)), "the good one is heard")
    assert json.loads(submit_bus.listener.messages[0][1])["msg_id"] == "2026-odd"
    bridge.wait_for("back", taken=2, bad=len(BAD), unaccounted=0)
    assert "no-message-id" in bridge.log()


RAW: dict[str, tuple[bytes, RawProperties]] = {
    "a time after the year 9999": (b"org.example.raw", RawProperties(b"r1", b"\x01tT" + b"\x7f" * 8)),
    "lists in lists": (
        b"org.example.raw",
        RawProperties(b"r2", b"\x01lA" + b"A".join(struct.pack(">I", 5 * n) for n in range(5000, -1, -1))),
    ),
    "a name that is not UTF-8": (b"org.example.raw", RawProperties(b"\xff\xfe")),
    "a topic that is not UTF-8": (b"org.\xff\xfe", RawProperties(b"r3")),
}
"""What any publisher may send, and pika does not decode, or only in part."""


def test_what_pika_cannot_decode_is_dropped_and_counted(submit_bus: Bus, bridge: Bridge) -> None:
    queued = Queued(bridge)
    tap = bridge.exchange.queue("tap")
    settings = {"amqp_url": [bridge.exchange.url], "exchange": bridge.exchange.name}
    bridge.configure(**settings, back_queue=queued.queue, tap_queue=tap)
    for key, properties in RAW.values():
        queued.publish_raw(key, properties)
    queued.publish(1)
    bridge.exchange.publish("org.example.amqp", b"{}", message_id="late", timestamp=2**64 - 1)
    bridge.start()
    wait_until(lambda: submit_bus.listener.heard(wrapped(1)), "the good one is heard")
    bridge.wait_for("back", taken=2, bad=len(RAW), unaccounted=0, in_hand=0)
    wait_until(lambda: bridge.exchange.depth(tap) == 0, "the tap has passed it all")
    bridge.wait_for("tap", state="working")
    assert "topic-not-utf8" in bridge.log()


def test_a_message_larger_than_the_relay_takes_is_dropped_alone(
    host: Host, bridge: Bridge, start_bus: StartBus
) -> None:
    host.configure_submit()
    queued = Queued(bridge)
    with host.settings_file.open("a") as settings:
        settings.write("[limits]\nmax_message_size = 100_000\n")
    bus = start_bus()
    bridge.start()
    queued.publish(1)
    bridge.exchange.publish("org.example.amqp", b'{"a": "%s"}' % (b"x" * 1_500_000), message_id="large")
    queued.publish(2)
    wait_until(lambda: bus.listener.heard(wrapped(2)), "the one after it is heard")
    bridge.wait_for("back", taken=2, refused=1, unaccounted=0)
    compare(bus.listener.messages, [wrapped(1), wrapped(2)])


LARGE, COUNT = 1_900_000, 100
BOUND = 140_000_000
"""Bytes of the process beside a backlog of 190 MB, which it could take all at once by its numbers."""


def test_a_backlog_of_large_messages_costs_bounded_memory(submit_bus: Bus, bridge: Bridge) -> None:
    queue, tap = bridge.exchange.queue("back"), bridge.exchange.queue("tap")
    submit_bus.publisher.send_all([envelope("org.example.large", n, pad="x" * LARGE) for n in range(COUNT)])
    wait_until(lambda: len(submit_bus.listener.hear()) >= COUNT, "all are heard", PATIENCE)
    submit_bus.listener.forget()
    last = last_seq(submit_bus)
    bridge.start()
    bridge.wait_for(waiting=0, confirmed=last, balanced=True)
    assert bridge.peak() < BOUND
    bridge.stop()
    # The same from the queue: all are the relay's own, and so dropped.
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name, back_queue=queue)
    bridge.start()
    bridge.wait_for("back", own=last, in_hand=0)
    assert bridge.peak() < BOUND
    bridge.stop()
    # And from the tap queue, up to a last one of somebody else.
    bridge.exchange.publish("org.example.foreign", b"{}")
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name, tap_queue=tap)
    bridge.start()
    bridge.wait_for("tap", foreign=1, different=0, unknown=0)
    assert bridge.peak() < BOUND


def test_what_the_relay_refuses_is_dropped_alone(host: Host, bridge: Bridge, start_bus: StartBus, pki: Pki) -> None:
    """A relay that wants signatures, and a site that signs."""
    host.configure_submit()
    pki.configure(host, certnames={f"bridge.{HOST}": SCM})
    queued = Queued(bridge)
    with host.settings_file.open("a") as settings:
        settings.write('[trust]\nsignatures = "enforce"\nexempt = ["org.example.test.mark"]\n')
    bus = start_bus()
    bridge.start()
    queued.publish(*range(10))
    unsigned = {"x-fedmsg-envelope": '{"msg_id":"u","topic":"org.example.amqp"}'}
    bridge.exchange.publish("org.example.amqp", b"{}", message_id="u", headers=unsigned)
    queued.publish(*range(10, 20))
    wait_until(lambda: len(bus.listener.hear()) >= 20, "the signed ones are heard")
    heard = [json.loads(body) for _, body in bus.listener.messages]
    assert [envelope["msg"]["n"] for envelope in heard] == list(range(20))
    assert all(envelope["signature"] for envelope in heard)
    bridge.wait_for("back", taken=20, refused=1, unaccounted=0)
