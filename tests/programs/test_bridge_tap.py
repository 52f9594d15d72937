"""The comparator: it finds each fault that is planted, and none where there is none."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import pytest

from bridged import PATIENCE, Bridge
from broker import Exchange
from bus import Bus, join
from fedmsg_relay.journal.store import Journal
from messages import numbered
from submitted import last_seq


@pytest.fixture
def tap(bridge: Bridge) -> str:
    """The tap queue of a bridge."""
    queue = bridge.exchange.queue("tap")
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name, tap_queue=queue)
    return queue


def publish(bus: Bus, count: int, start: int = 0) -> int:
    bus.publisher.send_all(numbered(count, start))
    bus.listener.expect(numbered(count, start))
    return last_seq(bus)


@pytest.mark.usefixtures("tap")
def test_all_that_arrives_is_accounted_for(bus: Bus, bridge: Bridge) -> None:
    first = publish(bus, 50)
    bridge.start()
    bridge.wait_for("tap", front=first, arrived=first, missing=0, twice=0, different=0, unknown=0)
    # What is never sent is not missing.
    bad = (b"org.example.bad", b"[]")
    bus.publisher.send_all([bad])
    bus.listener.expect([bad])
    last = publish(bus, 50, 50)
    told = bridge.wait_for("tap", front=last, missing=0, twice=0, different=0, unknown=0, state="working")
    assert told["forward"]["set_aside"] == 1
    assert told["ok"], told
    bridge.kill()
    bridge.start()
    last = publish(bus, 50, 100)
    bridge.wait_for("tap", front=last, missing=0, different=0, unknown=0)


def test_a_purged_queue_an_altered_message_and_a_copy_are_found(bus: Bus, bridge: Bridge, tap: str) -> None:
    first = publish(bus, 20)
    bridge.start()
    bridge.wait_for("tap", front=first, arrived=first)
    # Behind its back: what is sent does not reach the tap, and what reaches it was not sent.
    planted = Exchange(bridge.exchange.broker)
    with bridge.exchange.channel() as channel:
        channel.queue_unbind(tap, bridge.exchange.name, "#")
        channel.queue_bind(tap, planted.name, "#")
    aside = bridge.exchange.queue("aside")
    last = publish(bus, 20, 20)
    bridge.wait_for(waiting=0)
    with planted.channel() as channel:
        for method, properties, body in bridge.exchange.take(aside, last - first):
            seq = properties.headers["x-fedmsg-seq"]
            if seq > first + 5:  # those up to there are purged
                altered = body.replace(b"{", b'{"x":1,', 1) if seq == last - 1 else body
                for _ in range(2 if seq == last else 1):
                    channel.basic_publish(planted.name, method.routing_key, altered, properties)
        properties.headers["x-fedmsg-seq"] = last + 1000
        channel.basic_publish(planted.name, method.routing_key, body, properties)
    told = bridge.wait_for("tap", front=last, missing=5, twice=1, different=1, unknown=1, state="working")
    assert told["tap"]["ranges"] == [{"first": first + 1, "last": first + 5, "topic": "org.example.test.numbered"}]
    ran = bridge.ask()
    assert ran.code == 2
    assert f"5 messages were confirmed and did not arrive at the tap, the first is {first + 1} of topic" in ran.stdout
    assert "1 messages arrived with other bytes than the journal has" in ran.stdout
    assert bridge.acknowledge().code == 0
    assert bridge.status()["ok"], "what was acknowledged is a number from then on"


def test_a_loss_is_found_while_messages_come_without_a_pause(bus: Bus, bridge: Bridge, tap: str) -> None:
    first = publish(bus, 20)
    bridge.start()
    bridge.wait_for("tap", front=first, arrived=first)
    with bridge.exchange.channel() as channel:
        channel.queue_unbind(tap, bridge.exchange.name, "#")
    last = publish(bus, 20, 20)
    bridge.wait_for(waiting=0)
    with bridge.exchange.channel() as channel:
        channel.queue_bind(tap, bridge.exchange.name, "#")
    over = threading.Event()

    def publish_on() -> None:
        number = 1000
        while not over.wait(0.01):
            bus.publisher.send_all(numbered(1, number))
            number += 1

    steady = threading.Thread(target=publish_on)
    steady.start()
    try:
        told = bridge.wait_for("tap", missing=last - first, different=0, unknown=0)
    finally:
        over.set()
        steady.join(PATIENCE)
    assert told["tap"]["ranges"][0]["first"] == first + 1
    assert told["tap"]["front"] > last


def test_a_row_that_the_journal_lost_after_it_was_sent_is_found(bus: Bus, bridge: Bridge, tap: str) -> None:
    first = publish(bus, 20)
    bridge.start()
    bridge.wait_for("tap", front=first, arrived=first)
    bridge.stop()
    # Sent while nobody compares.
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name)
    bridge.start()
    publish(bus, 20, 20)
    last = publish(bus, 20, 40)
    bridge.wait_for(waiting=0, confirmed=last)
    bridge.stop()
    with contextlib.closing(sqlite3.connect(bus.host.journal_file, timeout=PATIENCE)) as db, db:
        query = "DELETE FROM block WHERE first = (SELECT max(first) FROM block WHERE first <= ?) RETURNING messages"
        ((lost,),) = db.execute(query, (first + 1,)).fetchall()
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name, tap_queue=tap)
    bridge.start()
    told = bridge.wait_for("tap", front=last, unknown=lost, missing=0, different=0)
    assert f"{lost} messages arrived that the journal does not have" in told["summary"]
    assert bridge.ask().code == 2


def test_a_journal_that_was_begun_anew_is_compared_from_its_beginning(bus: Bus, bridge: Bridge, tap: str) -> None:
    first = publish(bus, 200)
    bridge.start()
    bridge.wait_for("tap", front=first, arrived=first)
    bus.relay.stop()
    for path in bus.host.journal_file.parent.glob("journal.db*"):
        path.unlink()
    bus.relay.start()
    join(bus.publisher, bus.listener)
    last = publish(bus, 10)
    assert last < first
    told = bridge.wait_for("tap", front=last, arrived=last, missing=0, twice=0, different=0, unknown=0)
    assert told["forward"]["balanced"]
    assert "the journal was begun anew" in told["summary"]
    assert bridge.acknowledge().code == 0
    assert bridge.status()["ok"]
    with bridge.exchange.channel() as channel:
        channel.queue_unbind(tap, bridge.exchange.name, "#")
    end = publish(bus, 10, 10)
    told = bridge.wait_for("tap", front=end, missing=end - last, twice=0)
    assert told["tap"]["ranges"][0]["first"] == last + 1


@pytest.mark.usefixtures("tap")
def test_what_retention_removed_before_it_was_sent_is_a_loss(bus: Bus, bridge: Bridge) -> None:
    first = publish(bus, 20)
    bridge.start()
    bridge.wait_for("tap", front=first, arrived=first)
    bridge.stop()
    for number in range(5):  # in batches of their own, as retention removes whole ones, and never the last
        publish(bus, 20, 20 + 20 * number)
    bus.relay.settled()
    bus.relay.stop()
    with contextlib.closing(Journal(bus.host.journal_file)) as journal:
        while journal.trim(1e-6, 2**40):
            pass
    bus.relay.start()
    join(bus.publisher, bus.listener)
    bridge.start()
    told = bridge.wait_for(waiting=0, balanced=True, state="working")
    gap = told["forward"]["journal_first"] - first - 1
    assert gap > 0
    assert told["forward"]["gap"] == gap
    assert f"{gap} messages were gone from the journal before they were sent" in told["summary"]
    bridge.wait_for("tap", front=told["forward"]["journal_last"], missing=0, unknown=0)
