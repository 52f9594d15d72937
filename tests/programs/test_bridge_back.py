"""The bridge back: from a queue to submit, once each; and several relays on one bus."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from bridged import Bridge
from broker import Broker, Exchange
from fedmsg_relay.bridge.reading import Reader
from harness import Host, wait_until
from pki import HOST, SCM, Pki
from relays import Relay
from submitted import last_seq
from wire import Bus, Message, Sockets, StartBus, compare, join, numbered

HEADERS = {"sent-at": "2026-01-02T03:04:05+00:00", "fedora_messaging_schema": "base.message"}


class Queued:
    """The exchange of a test, with a queue for a bridge's way back."""

    def __init__(self, bridge: Bridge) -> None:
        self.exchange = bridge.exchange
        self.queue = self.exchange.queue("back")
        bridge.configure(amqp_url=[self.exchange.url], exchange=self.exchange.name, back_queue=self.queue)

    def publish(self, *numbers: int) -> None:
        """Publish as a service with fedora-messaging does."""
        with self.exchange.channel() as channel:
            for number in numbers:
                properties = _properties(message_id=f"id-{number}", headers=HEADERS, delivery_mode=2)
                body = json.dumps({"n": number}).encode()
                channel.basic_publish(self.exchange.name, "org.example.amqp", body, properties)


def _properties(**values: Any) -> Any:
    import pika  # noqa: PLC0415 -- only here

    return pika.BasicProperties(**values)


def wrapped(number: int) -> Message:
    """What listeners hear of it."""
    envelope = {
        "i": 1,
        "msg": {"n": number},
        "msg_id": f"2026-id-{number}",
        "timestamp": 1767323045,
        "topic": "org.example.amqp",
        "username": "amqp-bridge",
    }
    return b"org.example.amqp", json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()


def test_messages_of_a_queue_come_out_of_the_relay_once_and_do_not_go_back(submit_bus: Bus, bridge: Bridge) -> None:
    queued = Queued(bridge)
    witness = bridge.exchange.queue("witness")
    bridge.start()
    queued.publish(*range(50))
    submit_bus.publisher.send_all(numbered(20))
    wait_until(lambda: len(submit_bus.listener.hear()) >= 70, "all are heard")
    heard = submit_bus.listener.messages
    compare([m for m in heard if m[0] == b"org.example.amqp"], [wrapped(n) for n in range(50)])
    told = bridge.wait_for("back", taken=50, own=last_seq(submit_bus) - 50, unaccounted=0, in_hand=0)
    assert told["forward"]["skipped"] == 50
    bridge.wait_for(waiting=0, balanced=True)
    assert len(bridge.exchange.take(witness, 0)) == last_seq(submit_bus), "each is on the exchange once"
    assert bridge.exchange.depth(queued.queue) == 0


def test_a_kill_brings_nothing_twice_and_loses_nothing(
    submit_bus: Bus, bridge: Bridge, pytestconfig: pytest.Config
) -> None:
    rounds = pytestconfig.getoption("--bridge-kills")
    queued = Queued(bridge)
    witness = bridge.exchange.queue("witness")
    count = 200 * rounds
    queued.publish(*range(count))
    for _ in range(rounds):
        least = min(len(submit_bus.listener.hear()), count - 1)
        bridge.start()
        wait_until(partial(_has_heard, submit_bus, least), "some more are heard", 60)
        bridge.kill()
    bridge.start()
    wait_until(lambda: len(submit_bus.listener.hear()) >= count, "all are heard", 60)
    bridge.wait_for("back", in_hand=0, unaccounted=0)
    bridge.wait_for(waiting=0, balanced=True)
    compare(submit_bus.listener.hear(), [wrapped(n) for n in range(count)])
    assert submit_bus.relay.status()["reused_names"] == 0
    copies = [properties.message_id for _, properties, _ in bridge.exchange.take(witness, count)]
    assert [name for name in copies if name.startswith("id-")] == [f"id-{n}" for n in range(count)], "none went back"


def _has_heard(bus: Bus, least: int) -> bool:
    return len(bus.listener.hear()) > least


def test_while_the_relay_is_away_nothing_is_taken(submit_bus: Bus, bridge: Bridge) -> None:
    queued = Queued(bridge)
    submit_bus.relay.stop()
    bridge.start()
    queued.publish(*range(30))
    bridge.wait_for_log("back: connecting: the relay does not answer")
    wait_until(lambda: bridge.exchange.depth(queued.queue) >= 30, "nothing was taken")
    assert not bridge.status()["back"].get("delivered")
    submit_bus.relay.start()
    bridge.wait_for("back", taken=30, in_hand=0)
    reader = Reader(submit_bus.host.journal_file)
    journaled = [(record.topic, record.body) for record in reader.messages_after(0, 1000)]
    reader.close()
    assert [message for message in journaled if message[0] == b"org.example.amqp"] == [wrapped(n) for n in range(30)]


BAD: list[tuple[str, bytes, dict[str, Any]]] = [
    ("org.example.bad", b"{}", {}),
    ("org.example.bad", b"no json", {"message_id": "b1"}),
    ("org.example.bad", b"[" * 100_000, {"message_id": "b2"}),
    ("org.example.bad", b"\xff", {"message_id": "b3", "content_encoding": "nonsense"}),
    ("org.example.bad", b"{}", {"message_id": "x" * 255}),
]


def test_what_is_no_message_is_dropped_and_counted(submit_bus: Bus, bridge: Bridge) -> None:
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


@pytest.fixture
def two(broker: Broker) -> Iterator[list[Bus]]:
    """Two relays, each bridged both ways to one exchange."""
    exchange = Exchange(broker)
    with contextlib.ExitStack() as stack:
        buses = []
        for name in ("a", "b"):
            host = stack.enter_context(contextlib.closing(Host()))
            host.configure_submit()
            relay = stack.enter_context(contextlib.closing(Relay(host)))
            sockets = stack.enter_context(contextlib.closing(Sockets()))
            bridge = stack.enter_context(contextlib.closing(Bridge(host, exchange)))
            queue = exchange.queue(f"back-{name}", "org.example.test.#")
            bridge.configure(amqp_url=[exchange.url], exchange=exchange.name, back_queue=queue)
            relay.start()
            bus = Bus(relay, sockets.publisher(host.inbound), sockets.listener(host.outbound), sockets)
            join(bus.publisher, bus.listener)
            bridge.start()
            buses.append(bus)
        yield buses


def test_two_relays_are_one_bus(two: list[Bus], pki: Pki) -> None:
    """Each listener hears every message once, with the bytes, and so the signature, that its publisher gave it."""
    of = {0: [pki.sign(n) for n in range(100)], 1: [pki.sign(n) for n in range(100, 200)]}
    for number, bus in enumerate(two):
        bus.publisher.send_all(of[number])
    for bus in two:
        wait_until(lambda bus=bus: len(_signed(bus)) >= 200, "all are heard", 60)  # type: ignore[misc]
    for bus in two:
        heard = _signed(bus)
        assert sorted(heard) == sorted([*of[0], *of[1]])
        for messages in of.values():
            compare([each for each in heard if each in messages], messages)


def _signed(bus: Bus) -> list[tuple[bytes, ...]]:
    return [message for message in bus.listener.hear() if b"mark" not in message[0]]
