"""Hostile peers that can reach a port end neither the relay nor the receipts of others."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from bus import Bus, StartBus
from harness import BUSY, COMMANDS, Host, wait_until
from messages import envelope, numbered
from raw import PING, RawPeer, frame
from relays import Relay

CONNECTIONS = 1000
MEMORY_BOUND = 200 * 2**20
"""Bytes that a peer which misbehaves may cost the relay."""

PATIENCE_BOUND = BUSY
"""Seconds without a receipt that fail a test: docs/protocol.md promises far less, but machines here are shared."""

KINDS = {"inbound": b"PUB", "outbound": b"SUB", "submit": b"DEALER"}
SMALL = {
    "inbound": frame(b"org.example.test.x", more=True) + frame(b"{}"),
    "outbound": frame(b"\x01org.example"),
    "submit": frame(b"", more=True) + frame(b"FMR1", more=True) + frame(b"t", more=True) + frame(b"{}"),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("port", KINDS)
def test_1000_peers_that_ping_into_full_queues_and_reset_end_nothing(submit_bus: Bus, port: str) -> None:
    relay, pid = submit_bus.relay, submit_bus.relay.pid
    address = getattr(submit_bus.host, port)
    for _ in range(CONNECTIONS):
        peer = RawPeer(address).shake_hands(KINDS[port])
        with contextlib.suppress(OSError):
            peer.send(SMALL[port] * (48_000 // len(SMALL[port])) + PING)
        peer.reset()
        assert relay.running.alive(), relay.running.stderr()
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    (message,) = numbered(1)
    assert client.ask(message)["status"] == "accepted"
    submit_bus.listener.wait_for(message)
    assert relay.status()["relay"]["pid"] == pid
    others = [line for line in relay.log().splitlines() if "connected" not in line]
    assert len(others) < 100, "what a connection sends adds no line for each message"


@dataclass(frozen=True)
class Attack:
    """The bytes of a peer: those sent once, and those sent again and again."""

    port: str
    first: Callable[[], bytes]
    then: bytes = b""
    connections: int = 1


def subscriptions() -> bytes:
    return b"".join(frame(b"\x01org.example.%d" % number) for number in range(20_000))


def heavy_batch() -> bytes:
    body = frame(b'"' + b"x" * 1_500_000 + b'"')
    return frame(b"", more=True) + frame(b"FMR1", more=True) + frame(b"t", more=True) + b"\x03" + body[1:]


def small_batch() -> bytes:
    message = frame(b"t", more=True) + frame(b"{}", more=True)
    return frame(b"", more=True) + frame(b"FMR1", more=True) + message * 999 + frame(b"t", more=True) + frame(b"{}")


ATTACKS = {
    "subscriptions without end": Attack("outbound", subscriptions, frame(b"\x01again") * 5000),
    "100,000 topics": Attack(
        "outbound", lambda: b"".join(frame(b"\x01org.example.test.%d" % number) for number in range(100_000))
    ),
    **{
        f"20 million empty frames at {port}": Attack(port, lambda: b"", b"\x01\x00" * 30_000)
        for port in ("inbound", "submit", "outbound")
    },
    **{
        f"a message that never ends at {port}": Attack(port, lambda: b"", frame(bytes(60_000), more=True))
        for port in ("inbound", "submit", "outbound")
    },
    **{
        f"PINGs without end at {port}": Attack(port, lambda: b"", PING * 10_000)
        for port in ("inbound", "submit", "outbound")
    },
    "a batch of 1000 x 1.5 MB": Attack(
        "submit", heavy_batch, (frame(b"t", more=True) + b"\x03" + frame(bytes(1_500_000))[1:])
    ),
    "50 unfinished messages of 15 MiB": Attack(
        "inbound", lambda: frame(b"org.example.test.x", more=True) + frame(bytes(15 * 2**20))[:-1], connections=50
    ),
    "requests whose answers nobody reads": Attack("submit", lambda: b"", SMALL["submit"] * 1000),
    "10 peers with batches of 1000 messages": Attack("submit", lambda: b"", small_batch() * 10, connections=10),
    "bodies of 15.9 MiB with brackets in a string": Attack(
        "inbound",
        lambda: b"",
        frame(b"org.example.test.x", more=True) + frame(b'{"a":"' + b"[{" * (7 * 2**20 + 2**19) + b'"}'),
    ),
}


@contextlib.contextmanager
def attacked(bus: Bus, attack: Attack) -> Iterator[None]:
    """Somebody attacks inside the block."""
    over = threading.Event()

    def run() -> None:
        with contextlib.suppress(OSError):
            peer = RawPeer(getattr(bus.host, attack.port)).shake_hands(KINDS[attack.port])
            peer._socket.settimeout(0.5)
            peer.send(attack.first())
            while not over.wait(0 if attack.then else 0.1):
                with contextlib.suppress(TimeoutError):
                    peer.send(attack.then)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(attack.connections)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_peer_that_misbehaves_costs_others_and_memory_little(
    host: Host, start_bus: StartBus, name: str, request: pytest.FixtureRequest
) -> None:
    host.configure_submit()
    host.write("relay.toml", "[journal]\nkeep_bytes = 134_217_728\n")
    bus = start_bus()
    relay, pid = bus.relay, bus.relay.pid
    client = bus.sockets.submitter(bus.host.submit)
    sent = [envelope("org.example.test.good", 0)]
    assert client.ask(sent[0])["status"] == "accepted"
    before, most, longest = relay.memory(), 0, 0.0
    until = time.monotonic() + request.config.getoption("--attack-seconds")

    def submit_on() -> None:
        nonlocal most, longest
        while time.monotonic() < until:
            message = envelope("org.example.test.good", len(sent))
            began = time.monotonic()
            while client.ask(message)["status"] == "busy":
                time.sleep(0.01)
            sent.append(message)
            longest = max(longest, time.monotonic() - began)
            most = max(most, relay.memory())

    with attacked(bus, ATTACKS[name]):
        bus.listener.hear_while(submit_on)
    print(f"| {name} | {longest:.2f} s | {max(0, most - before) / 1e6:.0f} MB |")
    assert longest < PATIENCE_BOUND
    assert most - before < MEMORY_BOUND
    known = set(sent)
    assert [message for message in bus.listener.wait_for(sent[-1]) if message in known] == sent
    assert relay.status()["relay"]["pid"] == pid


@pytest.mark.parametrize("port", KINDS)
def test_a_peer_that_is_cut_is_named(submit_bus: Bus, port: str) -> None:
    peer = RawPeer(getattr(submit_bus.host, port)).shake_hands(KINDS[port])
    peer._socket.settimeout(1)  # a peer that is cut at outbound is not read any more, and closed a moment later
    with contextlib.suppress(OSError):
        for _ in range(1000):
            peer.send(frame(bytes(250), more=True) * 500)
    submit_bus.relay.wait_for_log("WARNING", "cut", peer.name)
    wait_until(lambda: submit_bus.relay.status()["connections"]["cut"] == 1, "it is counted")
    peer.close()


def test_idle_connections_up_to_the_limit_of_open_files_keep_no_script_out(relay: Relay, host: Host) -> None:
    host.configure_submit(spool="")
    relay.program = ["/usr/bin/prlimit", "--nofile=400:400", COMMANDS / "fedmsg-relay"]
    relay.start()
    idle: list[RawPeer] = []
    for _ in range(400):
        peer = RawPeer(host.submit)
        with contextlib.suppress(OSError, AssertionError):
            idle.append(peer.shake_hands(b"DEALER"))
    assert host.run("fedmsg-logger", "--message", "let me in", "--timeout", "20").code == 0
    relay.wait_for_log("WARNING", "too many submitters", "127.0.0.1")
    status = relay.status()
    assert status["connections"]["turned_away"] > 0
    assert "too many connections at submit" in status["summary"]
    assert relay.open_files() < 400 - 50
    for peer in idle:
        peer.close()


@pytest.mark.timeout(120)
def test_a_listener_with_1200_topics_misses_nothing_after_a_restart(submit_bus: Bus) -> None:
    bus = submit_bus
    topics = [f"org.example.test.many.{number:04d}" for number in range(1200)]
    listener = bus.sockets.listener(bus.host.outbound, topic=topics[0].encode())
    for topic in topics[1:]:
        listener.subscribe(topic.encode())
    client = bus.sockets.submitter(bus.host.submit)
    last = envelope(topics[-1], 0)
    assert client.ask(last)["status"] == "accepted"
    listener.wait_for(last)
    for number in range(1, 4):
        bus.relay.stop()
        messages = [envelope(topic, number) for topic in topics]
        client.send(*messages[:600])
        client.send(*messages[600:])
        bus.relay.start()
        assert listener.wait_for(messages[-1]) == messages
        assert [client.answer()["status"] for _ in range(2)] == ["accepted", "accepted"]
