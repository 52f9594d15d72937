"""Several relays on one bus: each with a bridge both ways to one exchange, of one broker or of a cluster."""

from __future__ import annotations

import contextlib
import json
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate

import pytest

from bridged import PATIENCE, Bridge
from broker import Broker, Exchange
from bus import Bus, join
from cluster import Cluster
from fedmsg_relay.envelope import canonical
from harness import Host, wait_until
from messages import Message, compare
from pki import Pki
from relays import Relay
from wire import Sockets

Side = tuple[Bus, Bridge]
"""A relay with a publisher and a listener, and its bridge."""


@contextlib.contextmanager
def joined(exchange: Exchange, urls: Sequence[Sequence[str]], **arguments: object) -> Iterator[list[Side]]:
    """A relay for each list of nodes, bridged both ways to one exchange."""
    with contextlib.ExitStack() as stack:
        sides = []
        for number, nodes in enumerate(urls):
            host = stack.enter_context(contextlib.closing(Host()))
            host.configure_submit()
            relay = stack.enter_context(contextlib.closing(Relay(host)))
            sockets = stack.enter_context(contextlib.closing(Sockets()))
            bridge = stack.enter_context(contextlib.closing(Bridge(host, exchange)))
            queue = exchange.queue(f"back-{number}", "org.example.test.#", **arguments)
            bridge.configure(amqp_url=nodes, exchange=exchange.name, back_queue=queue, unroutable="wait")
            relay.start()
            bus = Bus(relay, sockets.publisher(host.inbound), sockets.listener(host.outbound), sockets)
            join(bus.publisher, bus.listener)
            bridge.start()
            sides.append((bus, bridge))
        yield sides


def test_two_relays_are_one_bus(broker: Broker, pki: Pki) -> None:
    """Each listener hears every message once, with the bytes, and so the signature, that its publisher gave it."""
    of = [pki.signed(100), pki.signed(100, 100)]
    with joined(Exchange(broker), [[broker.url]] * 2) as sides:
        for messages, (bus, _) in zip(of, sides, strict=True):
            bus.publisher.send_all(messages)
        assert heard_once(sides, of) == 0


def test_two_relays_over_a_cluster_lose_nothing_when_parts_are_killed(
    pytestconfig: pytest.Config,
) -> None:
    rounds = pytestconfig.getoption("--node-kills")
    with contextlib.closing(Cluster()) as cluster:
        cluster.start()
        exchange = Exchange(cluster.nodes[0])
        witness = exchange.queue("witness", "org.example.test.#", **QUORUM)
        with joined(exchange, [cluster.urls, cluster.urls[::-1]], **QUORUM) as sides:
            of: list[list[Message]] = [[], []]
            send(sides, of, 300)
            for _, bridge in sides:
                before = exchange.depth(witness)
                wait_until(partial(has_more, exchange, witness, before), "some more are sent", PATIENCE)
                bridge.kill()
                bridge.start()
                send(sides, of, 300)
            for number in range(rounds):
                # The one that has the leaders of the queues, at first, and that a bridge works with.
                killed = cluster.nodes[number % 3]
                exchange.broker = cluster.nodes[(number + 1) % 3]
                before = exchange.depth(witness)
                send(sides, of, 600)
                wait_until(partial(has_more, exchange, witness, before), "some more are sent", PATIENCE)
                killed.stop(signal.SIGKILL)
                send(sides, of, 300)
                for _, bridge in sides:
                    bridge.wait_for(waiting=0, state="working")
                if number < rounds - 1:
                    killed.start()
            late = heard_once(sides, of)
            for _, bridge in sides:
                bridge.wait_for(waiting=0, balanced=True, gap=0, set_aside=0)
        copies: dict[str, list[str]] = defaultdict(list)
        for _, properties, _ in exchange.take(witness, len(of[0]) + len(of[1])):
            copies[properties.message_id].append(properties.headers["x-fedmsg-relay"])
        assert all(len(set(relays)) == 1 for relays in copies.values()), "nobody sends what another relay has sent"
        sent = {json.loads(body)["msg_id"] for messages in of for _, body in messages}
        assert sent <= copies.keys()
        twice = sum(map(len, copies.values())) - len(copies)
        print(f"lost 0, twice {twice} of {len(sent)}, late {late}: two bridges and {rounds} node(s) killed")


QUORUM = {"x-queue-type": "quorum"}


def send(sides: Sequence[Side], of: list[list[Message]], count: int) -> None:
    """Publish the next messages at each relay, as stock writes them."""
    for number, (bus, _) in enumerate(sides):
        topic = "org.example.test.load"
        for n in range(len(of[number]), len(of[number]) + count):
            body = canonical({"i": n, "msg": {"n": n}, "msg_id": f"2026-{number}-{n}", "timestamp": 1, "topic": topic})
            of[number].append((topic.encode(), body))
        bus.publisher.send_all(of[number][-count:])


def has_more(exchange: Exchange, queue: str, least: int) -> bool:
    return exchange.depth(queue) > least


def heard_once(sides: Sequence[Side], of: Sequence[Sequence[Message]]) -> int:
    """Each listener hears all that was published at any relay, once, and what was published at its own in order.

    Returns:
        How many were heard after a later one of the same publisher.
    """
    total = sum(map(len, of))
    late = 0
    for bus, _ in sides:
        wait_until(partial(has_heard, bus, total), f"{total} are heard", PATIENCE)
    for (bus, bridge), own in zip(sides, of, strict=True):
        bridge.wait_for("back", in_hand=0, unaccounted=0)
        assert len(unmarked(bus)) == total
        for messages in of:
            known = {message: number for number, message in enumerate(messages)}
            numbers = [known[message] for message in unmarked(bus) if message in known]
            late += sum(number < most for number, most in zip(numbers, accumulate(numbers, max), strict=True))
            compare(numbers if messages is own else sorted(numbers), range(len(messages)))
    return late


def has_heard(bus: Bus, count: int) -> bool:
    return len(unmarked(bus)) >= count


def unmarked(bus: Bus) -> list[tuple[bytes, ...]]:
    return [message for message in bus.listener.hear() if b"mark" not in message[0]]
