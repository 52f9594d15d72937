"""Many publishers at once and many that come and go: all are heard, and nothing is left behind."""

from __future__ import annotations

import resource
from functools import partial

from bus import Bus, join
from harness import wait_until
from messages import Message
from relays import Relay
from wire import Listener, Sockets


def hello(who: int) -> Message:
    return b"org.example.crowd", b'{"msg":{"publisher":%d}}' % who


def heard(listener: Listener, count: int) -> bool:
    return len(listener.hear(0.1)) >= count


def settled(relay: Relay, open_files: int) -> None:
    wait_until(lambda: relay.open_files() <= open_files, f"at most {open_files} open files")


def test_700_publishers_connected_at_once_are_all_heard(bus: Bus) -> None:
    # What a service gets by default; the limit of this test process is higher, and was inherited.
    resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    sockets = Sockets()
    publishers = [sockets.connecting(bus.host.inbound) for _ in range(700)]
    for publisher in publishers:
        publisher.wait_subscribed()
    assert len(bus.relay.status()["peers"]["publishers"]) == 701
    for who, publisher in enumerate(publishers):
        publisher.send(*hello(who))
    wait_until(partial(heard, bus.listener, 700), "700 messages")
    assert sorted(bus.listener.messages) == sorted(hello(who) for who in range(700))
    sockets.close()
    wait_until(lambda: len(bus.relay.status()["peers"]["publishers"]) == 1, "the relay sees them leave")


def test_300_that_connect_send_and_leave_are_all_heard(bus: Bus) -> None:
    open_files = bus.relay.open_files()
    for who in range(300):
        bus.sockets.send_and_leave(bus.host.inbound, [hello(who)])
    wait_until(partial(heard, bus.listener, 300), "300 messages")
    assert sorted(bus.listener.messages) == sorted(hello(who) for who in range(300))
    settled(bus.relay, open_files)
    connections = bus.relay.status()["connections"]
    assert connections["accepted"] - connections["closed"] == 2


def test_coming_and_going_leaves_nothing_behind(bus: Bus) -> None:
    open_files = bus.relay.open_files()
    memory = []
    for _ in range(8):
        crowd = Sockets()
        publishers = [crowd.publisher(bus.host.inbound) for _ in range(150)]
        listeners = [crowd.listener(bus.host.outbound) for _ in range(50)]
        join(bus.publisher, bus.listener, *listeners)
        for who, publisher in enumerate(publishers):
            publisher.send(*hello(who))
        for listener in [bus.listener, *listeners]:
            wait_until(partial(heard, listener, 150), "150 messages")
            assert sorted(listener.messages) == sorted(hello(who) for who in range(150))
            listener.forget()
        crowd.close()
        settled(bus.relay, open_files)
        memory.append(bus.relay.memory())
    # The first rounds fill allocators and caches; what still grows with the later ones is a leak.
    # A connection takes some 10 kB, so 800 that leak would show.
    assert memory[7] - memory[3] < 2**22, memory
    peers = bus.relay.status()["peers"]
    assert (len(peers["publishers"]), len(peers["listeners"])) == (1, 1)
