"""A restart under traffic goes unnoticed: no message is lost or repeated, and the order is kept."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

from bus import Bus, StartBus, join
from harness import Host, wait_until
from messages import Message, compare, numbered
from raw import RawPeer, frame, framed
from relays import Relay, wait_longer
from wire import Listener, Sockets

PUBLISHERS = 8
MESSAGES = 60_000
RESTARTS = 10
OUTSTANDING = 80
"""Messages of each publisher that may be on their way. What is lost beyond it a relay cannot help: a PUB's queue of
1000 drops in silence from 500 on, and a PUB that is disconnected while more than 8 KiB wait forgets the message of
which it has written the topic and not yet the body."""


def topic(who: int) -> bytes:
    return b"org.example.test.restart.%d" % who


def message(who: int, number: int) -> Message:
    return topic(who), b'{"i":%d,"msg":{"from":%d},"msg_id":"2026-%d-%d"}' % (number, who, who, number)


class Traffic:
    """Stock publishers that send as fast as their queues bear, and a stock listener that takes it."""

    def __init__(self, sockets: Sockets, host: Host) -> None:
        self.publishers = [sockets.stock_publisher(host.inbound) for _ in range(PUBLISHERS)]
        self.listener: Listener = sockets.stock_listener(host.outbound)
        self.sent = [0] * PUBLISHERS
        self.heard: dict[bytes, list[Message]] = defaultdict(list)
        for publisher in self.publishers:
            join(publisher, self.listener)

    def total(self) -> int:
        return sum(map(len, self.heard.values()))

    def flow(self) -> None:
        for who, publisher in enumerate(self.publishers):
            heard = len(self.heard[topic(who)])
            until = min(heard + OUTSTANDING, MESSAGES // PUBLISHERS)
            while self.sent[who] < until:
                publisher.send(*message(who, self.sent[who]))
                self.sent[who] += 1
        for frames in self.listener.hear(0.01):
            self.heard[frames[0]].append((frames[0], frames[1]))
        self.listener.forget()


def restart(relay: Relay) -> None:
    assert relay.stop() == 0
    relay.start()


def test_ten_restarts_under_60000_messages_lose_and_repeat_none_in_order(relay: Relay, sockets: Sockets) -> None:
    relay.start()
    traffic = Traffic(sockets, relay.host)
    restarts: list[Future[None]] = []

    def all_heard() -> bool:
        traffic.flow()
        due = traffic.total() >= MESSAGES * (len(restarts) + 1) // (RESTARTS + 1)
        if due and len(restarts) < RESTARTS and all(done.done() for done in restarts):
            restarts.append(beside.submit(restart, relay))
        return traffic.total() >= MESSAGES and all(done.done() for done in restarts)

    with ThreadPoolExecutor(1) as beside:
        wait_until(all_heard, "60,000 messages at the listener", timeout=100)
    for done in restarts:
        done.result()
    assert len(restarts) == RESTARTS
    join(traffic.publishers[0], traffic.listener)
    for who in range(PUBLISHERS):
        compare(traffic.heard[topic(who)], [message(who, n) for n in range(MESSAGES // PUBLISHERS)])
    assert not relay.log_lines("not all previous listeners are back")
    relay.settled()


LONG = 60.0
"""Seconds for listeners that return. A receipt is there earlier: it does not wait for them."""

SHORT = 8.0
"""Seconds for listeners that do not return; what happens meanwhile takes less."""


def remembered(host: Host) -> int:
    """How many listeners the next start will wait for."""
    with closing(sqlite3.connect(host.journal_file)) as db:
        count: int = db.execute("SELECT count(*) FROM listener").fetchone()[0]
    return count


def hear_all(listeners: Sequence[Listener], count: int) -> bool:
    """Whether each has heard that number; a SUB subscribes again only while it is used, so all take turns."""
    return min(len(listener.hear()) for listener in listeners) >= count


def test_messages_that_came_without_listeners_wait_for_them(submit_bus: Bus) -> None:
    """The relay is back before its listeners: it takes messages, gives receipts, and publishes when they are there."""
    listeners = [submit_bus.listener, *(submit_bus.sockets.stock_listener(submit_bus.host.outbound) for _ in range(3))]
    join(submit_bus.publisher, *listeners)
    wait_until(lambda: remembered(submit_bus.host) == 4, "the journal knows the listeners")
    submit_bus.relay.noted()
    submit_bus.relay.kill()
    wait_longer(submit_bus.relay, LONG)
    submit_bus.relay.start()
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    assert client.ask(*numbered(500))["status"] == "accepted"
    wait_until(lambda: hear_all(listeners, 500), "every listener hears it")
    for listener in listeners:
        compare(listener.messages, numbered(500))
    assert not submit_bus.relay.log_lines("not all previous listeners are back")


def test_a_listener_that_has_not_subscribed_yet_is_waited_for(submit_bus: Bus) -> None:
    """One listener with three topics does not stand for three, nor does a connection that has yet to say what it is."""
    relay, others = submit_bus.relay, Sockets()
    for another in (b"org.a", b"org.b"):
        submit_bus.listener.subscribe(another)
    join(submit_bus.publisher, submit_bus.listener, *(others.listener(relay.host.outbound) for _ in range(2)))
    wait_until(lambda: remembered(relay.host) == 3, "the journal knows the listeners")
    relay.noted()
    relay.kill()
    others.close()
    wait_longer(relay, LONG)
    relay.start()
    client = submit_bus.sockets.submitter(relay.host.submit)
    assert client.ask(*numbered(10))["status"] == "accepted"
    returned = [RawPeer(relay.host.outbound) for _ in range(2)]
    wait_until(lambda: len(relay.status()["peers"]["listeners"]) == 3, "all are connected")
    for peer in returned:
        assert submit_bus.listener.hear(0.3) == []  # a SUB subscribes again only while it is used
        peer.shake_hands(b"SUB").send(frame(b"\x01"))
    submit_bus.listener.expect(numbered(10))
    for peer in returned:
        assert peer.receive(len(framed(numbered(10)))) == framed(numbered(10))
        peer.close()
    assert not relay.log_lines("not all previous listeners are back")


def test_a_peer_that_never_subscribed_is_not_waited_for(submit_bus: Bus) -> None:
    relay = submit_bus.relay
    mute, deaf = RawPeer(relay.host.outbound), RawPeer(relay.host.outbound).shake_hands(b"SUB")
    wait_until(lambda: len(relay.status()["peers"]["listeners"]) == 3, "all are connected")
    relay.stop()
    for peer in (mute, deaf):
        peer.close()
    wait_longer(relay, LONG)
    relay.start()
    client = submit_bus.sockets.submitter(relay.host.submit)
    assert client.ask(*numbered(10))["status"] == "accepted"
    submit_bus.listener.expect(numbered(10))
    assert not relay.log_lines("not all previous listeners are back")


def old_listener(address: str) -> RawPeer:
    """One that speaks ZMTP 2.0, as libzmq 3 does: it subscribes to everything."""
    peer = RawPeer(address)
    peer.send(b"\xff" + bytes(8) + b"\x7f\x01\x02" + frame(b"") + frame(b"\x01"))
    peer.receive(14)  # the relay's greeting and its empty identity
    return peer


def test_a_listener_with_an_old_libzmq_is_waited_for_too(submit_bus: Bus) -> None:
    relay = submit_bus.relay
    old = old_listener(relay.host.outbound)
    wait_until(lambda: remembered(relay.host) == 2, "the journal knows both listeners")
    relay.noted()
    relay.kill()
    old.close()
    wait_longer(relay, LONG)
    relay.start()
    client = submit_bus.sockets.submitter(relay.host.submit)
    assert client.ask(*numbered(10))["status"] == "accepted"
    wait_until(lambda: relay.status()["peers"]["listeners"], "the other one is back")
    assert submit_bus.listener.hear(0.3) == []
    old = old_listener(relay.host.outbound)
    assert old.receive(len(framed(numbered(10)))) == framed(numbered(10))
    old.close()
    submit_bus.listener.expect(numbered(10))
    assert not relay.log_lines("not all previous listeners are back")


def test_a_new_listener_at_another_port_is_not_taken_for_a_previous_one(host: Host, start_bus: StartBus) -> None:
    """As when a port changes: the listener at the old port would miss the messages meanwhile."""
    host.configure_submit()
    bus = start_bus()
    wait_until(lambda: remembered(host) == 1, "the journal knows the listener")
    bus.relay.stop()
    bus.listener.close()
    other = f"tcp://127.0.0.1:{host.port()}"
    host.write("relay.toml", f'[bind]\noutbound = ["{host.outbound}", "{other}"]\n')
    newcomer = bus.sockets.listener(other)
    bus.relay.start()
    assert bus.sockets.submitter(host.submit).ask(*numbered(1))["status"] == "accepted"
    newcomer.wait_for(numbered(1)[0])
    bus.relay.wait_for_log("WARNING", "not all previous listeners are back", host.outbound.rpartition(":")[2])


def test_a_listener_that_never_returns_delays_the_others_only_shortly(submit_bus: Bus) -> None:
    gone = Sockets()
    join(submit_bus.publisher, submit_bus.listener, gone.listener(submit_bus.host.outbound))
    wait_until(lambda: remembered(submit_bus.host) == 2, "the journal knows both listeners")
    submit_bus.relay.noted()
    submit_bus.relay.kill()
    gone.close()
    wait_longer(submit_bus.relay, SHORT)
    submit_bus.relay.start()
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    assert client.ask(*numbered(10))["status"] == "accepted"
    assert submit_bus.relay.messages()["waiting"] == 10
    submit_bus.listener.expect(numbered(10))
    submit_bus.relay.wait_for_log("WARNING", "not all previous listeners are back", "127.0.0.1")
    assert submit_bus.relay.settled()["published"] == 10
    # The next start knows that it is gone.
    submit_bus.relay.stop()
    submit_bus.relay.start()
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    assert client.ask(*numbered(1, start=10))["status"] == "accepted"
    submit_bus.listener.expect(numbered(1, start=10))
    submit_bus.relay.wait_for_log("not all previous listeners are back")
    assert len(submit_bus.relay.log_lines("not all previous listeners are back")) == 1


def test_listeners_that_came_just_before_the_stop_are_waited_for(submit_bus: Bus) -> None:
    listeners = [submit_bus.listener]
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    wait_longer(submit_bus.relay, LONG)
    for lot in range(3):
        listeners.append(submit_bus.sockets.stock_listener(submit_bus.host.outbound))
        join(submit_bus.publisher, *listeners)
        submit_bus.relay.stop()
        submit_bus.relay.start()
        assert client.ask(*numbered(100, start=100 * lot))["status"] == "accepted"
        wait_until(partial(hear_all, listeners, 100), "every listener hears it")
        for listener in listeners:
            compare(listener.messages, numbered(100, start=100 * lot))
    assert not submit_bus.relay.log_lines("not all previous listeners are back")


def test_a_start_with_nobody_listening_publishes_at_once(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    bus = start_bus()
    bus.listener.close()
    wait_until(lambda: not bus.relay.status()["peers"]["listeners"], "the listener has left")
    bus.relay.stop()
    bus.relay.start()
    client = bus.sockets.submitter(host.submit)
    assert client.ask(*numbered(5))["status"] == "accepted"
    messages = bus.relay.messages()
    assert (messages["published"], messages["waiting"]) == (5, 0)


def test_journaled_but_unpublished_messages_go_out_first(submit_bus: Bus) -> None:
    """Killed while it waits for listeners, twice: the journal brings it all, in order, before what is new."""
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    gone = Sockets()
    join(submit_bus.publisher, submit_bus.listener, gone.listener(submit_bus.host.outbound))
    wait_until(lambda: remembered(submit_bus.host) == 2, "the journal knows both listeners")
    submit_bus.relay.noted()
    submit_bus.relay.kill()
    gone.close()
    wait_longer(submit_bus.relay, SHORT)
    for lot in range(2):
        submit_bus.relay.start()
        assert client.ask(*numbered(10, start=10 * lot))["status"] == "accepted"
        assert submit_bus.relay.messages()["waiting"] == 10 * (lot + 1)
        assert submit_bus.relay.messages()["carried"] == 10 * lot
        submit_bus.relay.kill()
    submit_bus.relay.start()
    submit_bus.publisher.send_all(numbered(5, start=20))
    submit_bus.listener.expect(numbered(25))
