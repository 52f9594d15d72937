"""The bridge forward: each journaled message reaches the broker once, in order, whatever the bridge meets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from bridged import Bridge, expected, first_copies, names
from broker import LIMITED, MAX_MESSAGE_BYTES, Exchange
from bus import Bus
from harness import wait_until
from messages import Message, envelope, numbered
from submitted import last_seq


def publish(bus: Bus, messages: Sequence[Message]) -> int:
    """Publish, and wait until the journal has it all; return the number of messages in it."""
    bus.publisher.send_all(messages)
    bus.listener.expect(messages)
    return last_seq(bus)


def has_more(bridge: Bridge, queue: str, least: int) -> bool:
    return bridge.exchange.depth(queue) > least


def test_every_journaled_message_arrives_in_order(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue()
    before, after = numbered(300), numbered(300, 300)
    publish(bus, before)
    bridge.start()
    last = publish(bus, after)
    taken = bridge.exchange.take(queue, last)
    assert len(taken) == last
    assert names(taken) == expected(before + after)
    for (method, properties, body), (topic, original) in zip(taken[last - 600 :], before + after, strict=True):
        assert (method.routing_key, json.loads(body)) == (topic.decode(), json.loads(original)["msg"])
        assert properties.delivery_mode == 2
    told = bridge.wait_for(waiting=0, gap=0, resent=0, confirmed=last, balanced=True, state="working")
    assert told["ok"], told
    assert bridge.stop() == 0


def test_a_kill_loses_nothing_and_copies_are_the_same(bus: Bus, bridge: Bridge, pytestconfig: pytest.Config) -> None:
    rounds = pytestconfig.getoption("--bridge-kills")
    queue = bridge.exchange.queue()
    messages = numbered(400 * rounds)
    last = publish(bus, messages)
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name, window=50)
    for _ in range(rounds):
        least = min(bridge.exchange.depth(queue), last - 1)
        bridge.start()
        wait_until(partial(has_more, bridge, queue, least), "some more are sent", 60)
        bridge.kill()
    bridge.start()
    bridge.wait_for(waiting=0, balanced=True, gap=0)
    taken = bridge.exchange.take(queue, last)
    assert first_copies(names(taken)) == expected(messages)
    copies: dict[str, set[str]] = {}
    for method, properties, body in taken:
        content = repr((method.routing_key, body, sorted(vars(properties).items(), key=str)))
        copies.setdefault(properties.message_id, set()).add(content)
    assert [name for name, contents in copies.items() if len(contents) > 1] == []
    print(f"{len(taken) - len(copies)} of {len(taken)} went twice in {rounds} kills")


HOSTILE: list[tuple[Message, str]] = [
    ((b"org.example.bad", b"[1, 2]"), "no-envelope"),
    ((b"org.example.bad", b"null"), "no-envelope"),
    ((b"org.example.bad", b'{"msg": "text", "msg_id": "2026-t"}'), "msg-not-an-object"),
    ((b"x" * 256, b'{"msg": {}, "msg_id": "2026-long"}'), "topic-too-long"),
    (
        (b"org.example.bad", b'{"msg":{"pad":"%s"},"msg_id":"2026-big"}' % (b"x" * MAX_MESSAGE_BYTES)),
        "refused-by-broker",
    ),
    ((b"org.example.bad", b'{"msg":{"a":NaN,"pad":"%s"}}' % (b"x" * 300_000)), "unusual-json"),
]
ODD: list[Message] = [
    (b"", b'{"msg": {}, "msg_id": "2026-odd1"}'),
    (b"a.#.*.b", b'{"msg": {}, "msg_id": "2026-odd2", "headers": {"CC": ["x"], "BCC": "y", "user_id": "root"}}'),
    (b"org.example.odd", b'{"msg": {"a": NaN}, "msg_id": "2026-odd3"}'),
    (b"org.example.odd", b'{"msg": {}, "msg_id": "2026-odd4", "pad": "%s"}' % (b"x" * 200_000)),
    (b"org.example.odd", b'{"msg": {}, "msg_id": "2026-odd5", "CC": ["all"], "timestamp": 1e400, "username": [[]]}'),
    (b"org.example.odd", b'{"msg": {}, "msg_id": "2026-odd6", "x": "%s"}' % b"\\u0000\\ud83d\\ude00" * 1),
    (b"org.example.odd", b'{"msg": {}, "msg_id": "2026-odd7", "' + b"k" * 5000 + b'": 1}'),
]


def test_poison_is_set_aside_and_holds_up_nothing(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue()
    good = numbered(len(HOSTILE) + 1)
    sent: list[Message] = []
    for index, (message, _) in enumerate(HOSTILE):
        sent += [good[index], message]
    sent += [good[-1], *ODD]
    last = publish(bus, sent)
    bridge.start()
    told = bridge.wait_for(waiting=0, balanced=True, set_aside=len(HOSTILE), gap=0, state="working")
    reasons = [reason for _, reason in HOSTILE]
    assert told["forward"]["reasons"] == {reason: reasons.count(reason) for reason in reasons}
    taken = bridge.exchange.take(queue, last - len(HOSTILE))
    assert first_copies(names(taken)) == [*expected(good), *(f"2026-odd{n + 1}" for n in range(len(ODD)))]
    assert told["ok"], told
    # What was set aside is not tried again.
    bridge.kill()
    bridge.start()
    publish(bus, numbered(1, 500))
    assert names(bridge.exchange.take(queue, 1)) == expected(numbered(1, 500))


def test_a_full_queue_holds_the_bridge_up_and_fills_no_other(bus: Bus, bridge: Bridge) -> None:
    every = bridge.exchange.queue()
    full = bridge.exchange.queue("full", "org.example.test.#", **{"x-max-length": 5, "x-overflow": "reject-publish"})
    messages = numbered(100)
    last = publish(bus, messages)
    bridge.start()
    told = bridge.wait_for(state="refused")
    assert told["forward"]["waiting"] >= 95
    assert bridge.ask().code == 2
    assert "a queue is full" in told["summary"]
    with bridge.exchange.channel() as channel:
        channel.queue_unbind(full, bridge.exchange.name, "org.example.test.#")
    bridge.wait_for(waiting=0, state="working", balanced=True)
    taken = names(bridge.exchange.take(every, last))
    assert first_copies(taken) == expected(messages)
    assert max(map(taken.count, taken)) <= 8, "one message is tried again and again, not each of them"
    assert sum(taken.count(name) > 2 for name in set(taken)) <= 1


def test_without_the_exchange_it_waits_and_goes_on(bus: Bus, bridge: Bridge) -> None:
    last = publish(bus, numbered(10))
    # It waits for the queue as well, which is bound a moment after the exchange is there.
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name, unroutable="wait")
    bridge.exchange.delete()
    bridge.start()
    told = bridge.wait_for(state="waiting", confirmed=0)
    assert "NOT_FOUND" in told["forward"]["reason"]
    again = Exchange(bridge.exchange.broker, bridge.exchange.name)
    queue = again.queue()
    bridge.wait_for(waiting=0, balanced=True, set_aside=0)
    assert sorted(names(again.take(queue, last))) == expected(numbered(10))
    # And where it is removed under the bridge.
    again.delete()
    publish(bus, numbered(10, 10))
    bridge.wait_for(state="waiting")
    again = Exchange(bridge.exchange.broker, bridge.exchange.name)
    with again.channel() as channel:
        channel.queue_bind(queue, again.name, "#")
    bridge.wait_for(waiting=0, balanced=True, set_aside=0)
    assert sorted(first_copies(names(again.take(queue, 10)))) == expected(numbered(10, 10))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace(":bridge@", ":wrong@"), "ACCESS_REFUSED"),
        (lambda url: url.replace("%2F", "nowhere"), "vhost nowhere not found"),
    ],
    ids=["password", "vhost"],
)
def test_a_broker_that_lets_nobody_in_is_waited_for(
    bus: Bus, bridge: Bridge, change: Callable[[str], str], reason: str
) -> None:
    last = publish(bus, numbered(10))
    bridge.configure(amqp_url=[change(bridge.exchange.url)], exchange=bridge.exchange.name)
    bridge.start()
    bridge.wait_for_log(reason)
    told = bridge.wait_for(state="connecting", confirmed=0, waiting=last)
    assert not told["ok"]
    assert "wrong" not in bridge.log()
    assert bridge.stop() == 0


def test_a_forbidden_topic_is_set_aside_alone_until_somebody_asks_for_it(bus: Bus, bridge: Bridge) -> None:
    limited = Exchange(bridge.exchange.broker, "limited")
    queue = limited.queue()
    good, bad = numbered(5), [envelope("org.forbidden.test", n) for n in range(2)]
    last = publish(bus, [*good[:2], bad[0], *good[2:], bad[1]])
    url = bridge.exchange.url.replace("bridge:bridge", f"{LIMITED}:{LIMITED}")
    bridge.configure(amqp_url=[url], exchange="limited")
    bridge.start()
    told = bridge.wait_for(waiting=0, balanced=True, set_aside=2)
    assert told["forward"]["reasons"] == {"refused-by-broker": 2}
    assert "access to topic" in told["forward"]["last_set_aside"]["detail"]
    assert first_copies(names(limited.take(queue, last - 2))) == expected(good)
    # As long as the right is missing a retry sets them aside again, and holds up nothing.
    assert bridge.retry().stdout == "the bridge will send 2 again\n"
    publish(bus, numbered(20, 100))
    told = bridge.wait_for(to_retry=0, waiting=0, balanced=True, set_aside=2, state="working")
    assert told["forward"]["reasons"] == {"refused-by-broker": 2}
    assert first_copies(names(limited.take(queue, 20))) == expected(numbered(20, 100))
    bridge.stop()
    bridge.configure(amqp_url=[bridge.exchange.url], exchange="limited")
    bridge.retry()
    bridge.start()
    told = bridge.wait_for(to_retry=0, waiting=0, balanced=True, set_aside=0, confirmed=last + 20)
    assert told["forward"]["reasons"] == {}
    assert names(limited.take(queue, 2)) == expected(bad)
    assert bridge.retry().stdout == "nothing to send again\n"


def test_a_wrong_right_sets_not_everything_aside(bus: Bus, bridge: Bridge) -> None:
    messages = [envelope("org.forbidden.test", n) for n in range(60)]
    publish(bus, messages)
    Exchange(bridge.exchange.broker, "limited")
    url = bridge.exchange.url.replace("bridge:bridge", f"{LIMITED}:{LIMITED}")
    bridge.configure(amqp_url=[url], exchange="limited")
    bridge.start()
    told = bridge.wait_for(state="waiting", set_aside=10)
    assert "access to topic" in told["forward"]["reason"]
    assert told["forward"]["waiting"] >= 49


def test_without_the_right_to_the_exchange_it_waits_and_sets_nothing_aside(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue()
    last = publish(bus, numbered(30))
    url = bridge.exchange.url.replace("bridge:bridge", f"{LIMITED}:{LIMITED}")
    bridge.configure(amqp_url=[url], exchange=bridge.exchange.name)
    bridge.start()
    told = bridge.wait_for(state="waiting", set_aside=0, confirmed=0, waiting=last)
    assert "access to exchange" in told["forward"]["reason"]
    bridge.stop()
    bridge.configure(amqp_url=[bridge.exchange.url], exchange=bridge.exchange.name)
    bridge.start()
    bridge.wait_for(waiting=0, balanced=True, set_aside=0)
    assert names(bridge.exchange.take(queue, last)) == expected(numbered(30))


def test_a_message_that_no_queue_takes(bus: Bus, bridge: Bridge) -> None:
    last = publish(bus, numbered(20))
    bridge.start()
    told = bridge.wait_for(waiting=0, unroutable=last, confirmed=last, state="working")
    assert told["ok"], told
    bridge.stop()
    settings: dict[str, Any] = {"amqp_url": [bridge.exchange.url], "exchange": bridge.exchange.name}
    bridge.configure(**settings, unroutable="wait")
    bridge.start()
    publish(bus, numbered(20, 20))
    bridge.wait_for(state="refused", waiting=20)
    queue = bridge.exchange.queue()
    bridge.wait_for(waiting=0, unroutable=last, balanced=True)
    assert names(bridge.exchange.take(queue, 20)) == expected(numbered(20, 20))


@pytest.mark.parametrize(("start", "first"), [("now", 10), ("oldest", 0), ("SEQ", 4)])
def test_where_the_first_start_begins(bus: Bus, bridge: Bridge, start: str, first: int) -> None:
    queue = bridge.exchange.queue()
    last = publish(bus, numbered(10))
    bridge.start("--from", start.replace("SEQ", str(last - 5)))
    bridge.wait_for_log("begins after")
    bridge.wait_for(waiting=0)
    publish(bus, numbered(3, 10))
    bridge.wait_for(waiting=0, balanced=True)
    bridge.stop()
    bridge.start("--from", "now")
    publish(bus, numbered(3, 13))
    wanted = expected(numbered(16)[first:])
    assert names(bridge.exchange.take(queue, len(wanted)))[-len(wanted) :] == wanted


def test_no_output_shows_a_password(bus: Bus, bridge: Bridge) -> None:
    publish(bus, numbered(1))
    bridge.start()
    bridge.wait_for(state="working", waiting=0)
    shown = bridge.ask("--json").stdout + bridge.ask().stdout + bridge.log()
    assert "bridge:bridge@" in bridge.exchange.url
    assert "bridge:bridge" not in shown
