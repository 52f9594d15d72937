"""The bridge back: from a queue to submit, once each."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from bridged import PATIENCE, Bridge
from bus import Bus
from fedmsg_relay.bridge.reading import Reader
from harness import wait_until
from messages import compare, numbered
from queued import Queued, wrapped
from submitted import last_seq


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


def test_a_queue_that_is_not_there_is_waited_for(submit_bus: Bus, bridge: Bridge) -> None:
    exchange = bridge.exchange
    bridge.configure(amqp_url=[exchange.url], exchange=exchange.name, back_queue=f"{exchange.name}.back")
    bridge.start()
    bridge.wait_for_log("NOT_FOUND - no queue")
    queued = Queued(bridge)  # which makes it
    queued.publish(*range(5))
    wait_until(lambda: len(submit_bus.listener.hear()) >= 5, "all are heard", PATIENCE)
    compare(submit_bus.listener.messages, [wrapped(n) for n in range(5)])
    bridge.wait_for("back", taken=5, state="working", unaccounted=0)


def is_past(second: int) -> bool:
    return int(time.time()) > second


def test_a_message_that_does_not_say_when_it_was_sent_is_the_same_when_it_comes_again(
    submit_bus: Bus, bridge: Bridge
) -> None:
    """The broker delivers a message again that was in the journal and not acknowledged when the bridge ended."""
    Queued(bridge)
    bridge.start()
    for taken in (1, 2):
        bridge.exchange.publish("org.example.amqp", b'{"n":1}', message_id="untimed")
        bridge.wait_for("back", taken=taken, in_hand=0)
        second = int(time.time())
        wait_until(partial(is_past, second), "the next second")
    submit_bus.publisher.send_all(numbered(1))
    wait_until(lambda: len(submit_bus.listener.hear()) >= 2, "the last one is heard")
    (topic, body), last = submit_bus.listener.messages
    assert (topic, json.loads(body)["timestamp"], json.loads(body)["msg_id"]) == (
        b"org.example.amqp",
        0,
        "1970-untimed",
    )
    compare([last], numbered(1))
    assert submit_bus.relay.status()["reused_names"] == 0
