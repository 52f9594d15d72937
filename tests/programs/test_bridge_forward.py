"""The bridge forward: each journaled message reaches the broker once, in order, whatever the bridge meets."""

from __future__ import annotations

from bridged import Bridge, expected, names
from wire import Bus, numbered


def test_every_journaled_message_arrives_in_order(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue()
    before = numbered(300)
    bus.publisher.send_all(before)
    bus.listener.expect(before)
    bridge.start()
    after = numbered(300, 300)
    bus.publisher.send_all(after)
    bus.listener.expect(after)
    taken = bridge.exchange.take(queue, 600)
    assert names(taken)[-600:] == expected(before + after)
    told = bridge.wait_for(waiting=0, gap=0, balanced=True)
    assert told["ok"], told
