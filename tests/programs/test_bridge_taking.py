"""What the bridge takes from a queue is bounded in bytes, whatever is in the queue."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import pika
import pytest

from bridged import PATIENCE, Bridge
from broker import Exchange
from bus import Bus
from cable import Cable
from fedmsg_relay.bridge.taking import PREFETCH, Taken, batches

COUNT, MOST = 100, 2 * 1024 * 1024
LARGE: dict[str, tuple[int, dict[str, str]]] = {
    "a body": (300_000, {}),
    "a header": (2, {"large": "x" * 100_000}),
    "many headers": (2, {f"h{n}": "" for n in range(9000)}),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_batch_has_a_bounded_number_of_bytes(exchange: Exchange, kind: str) -> None:
    queue = exchange.queue()
    size, headers = LARGE[kind]
    body = b"x" * size
    with exchange.channel() as channel:
        for _ in range(COUNT):
            channel.basic_publish(exchange.name, "a", body, pika.BasicProperties(headers=headers))
    found = take(exchange, queue, COUNT)
    each = len(body) + found[0][0].properties.size
    assert each > 50_000
    assert max(map(len, found)) * each < MOST
    assert all(taken.properties.headers == headers for batch in found for taken in batch)


def test_small_messages_come_many_together(exchange: Exchange) -> None:
    queue = exchange.queue()
    with exchange.channel() as channel:
        for _ in range(PREFETCH):
            channel.basic_publish(exchange.name, "a", b"{}")
    assert max(map(len, take(exchange, queue, PREFETCH))) == PREFETCH // 2


def take(exchange: Exchange, queue: str, count: int) -> list[list[Taken]]:
    """Take as many messages of a queue as are in it."""
    found: list[list[Taken]] = []
    with exchange.channel() as channel:
        for batch in batches(channel, queue, 5.0, threading.Event()):
            assert batch, "no more came"
            found.append(batch)
            channel.basic_ack(batch[-1].method.delivery_tag, multiple=True)
            if sum(map(len, found)) >= count:
                return found
    return found


class Slow(Cable):
    """A network of some 6 MB/s: a large message takes longer than the tap waits for one."""

    def _pass(self, end: Any) -> None:
        threading.Event().wait(0.01)
        super()._pass(end)


FOREIGN, BYTES = 40, 1_900_000
BOUND = 100_000_000
"""Bytes of the process beside 76 MB that are on their way to it."""


def test_the_tap_reads_no_more_over_a_slow_network(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue("tap")
    for _ in range(FOREIGN):
        bridge.exchange.publish("org.example.foreign", b"x" * BYTES)
    with closing(Slow(bus.host, f"tcp://127.0.0.1:{bridge.exchange.broker.port}")) as cable:
        port = cable.address.rpartition(":")[2]
        url = bridge.exchange.url.replace(f":{bridge.exchange.broker.port}/", f":{port}/")
        bridge.configure(amqp_url=[url], exchange=bridge.exchange.name, tap_queue=queue)
        bridge.start()
        bridge.wait_for("tap", foreign=FOREIGN, timeout=2 * PATIENCE)
        print(f"{bridge.peak()} bytes")
        assert bridge.peak() < BOUND
        bridge.kill()
