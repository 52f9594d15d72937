"""Clients that submit more than the relay can take, and read no answers: memory stays bounded, others get receipts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness import COMMANDS, Host, Process, wait_until
from wire import Bus, Message, StartBus, Submitter, numbered

CLIENTS = 50
BOUND = 768 * 2**20
"""Bytes the relay may hold at any moment: 64 MiB that wait for their turn, the batch in work, and what libzmq takes in
from 50 clients while that batch is synced."""

SECONDS = 15.0

PUSH = """\
import sys, zmq
body = b'"' + b"x" * (1024 * 1024 - 2) + b'"'
batch = [b"", b"FMR1"] + [b"org.example.test.heavy", body] * 8
context = zmq.Context(2)
clients = [context.socket(zmq.DEALER) for _ in range(int(sys.argv[2]))]
poller = zmq.Poller()
for client in clients:
    client.sndhwm = 2
    client.connect(sys.argv[1])
    poller.register(client, zmq.POLLOUT)
while True:
    for client, _ in poller.poll():
        client.send_multipart(batch, copy=False)
"""


@pytest.fixture
def heavy_bus(host: Host, start_bus: StartBus) -> Bus:
    """A bus that keeps little, so that the flood fits on any disk."""
    host.configure_submit()
    host.write("relay.toml", "[journal]\nkeep_bytes = 134_217_728\n")
    return start_bus()


@pytest.fixture
def flood(heavy_bus: Bus) -> Iterator[Process]:
    process = heavy_bus.host.start(COMMANDS / "python", "-c", PUSH, heavy_bus.host.submit, str(CLIENTS))
    yield process
    process.kill()


def submit(client: Submitter, message: Message) -> int:
    """Submit as docs/submit.md has it; return how often the relay was busy before it gave its receipt."""
    busy = 0

    def accepted() -> bool:
        nonlocal busy
        answer = client.ask(message)
        if answer["status"] == "accepted":
            return True
        assert answer.keys() == {"status", "retry_after"}
        assert answer["status"] == "busy"
        assert 0 < answer["retry_after"] < 10
        busy += 1
        time.sleep(answer["retry_after"])
        return False

    wait_until(accepted, "a receipt")
    return busy


@pytest.mark.timeout(240)
def test_clients_that_push_and_never_read_cost_others_nothing_but_time(heavy_bus: Bus, flood: Process) -> None:
    relay = heavy_bus.relay
    client = heavy_bus.sockets.submitter(heavy_bus.host.submit)
    wait_until(lambda: relay.status()["overloaded"], "the relay is overloaded")
    sent: list[Message] = []
    memory: list[int] = []
    busy = 0
    until = time.monotonic() + SECONDS

    def submit_on() -> None:
        nonlocal busy
        while time.monotonic() < until or not sent:
            (message,) = numbered(1, start=len(sent))
            busy += submit(client, message)
            sent.append(message)
            memory.append(relay.memory())

    heavy_bus.listener.hear_while(submit_on)
    assert flood.alive(), flood.stderr()
    print(f"{len(sent)} receipts, {busy} times busy, {max(memory) / 2**20:.0f} MiB at most")
    assert max(memory) < BOUND, f"{max(memory) / 2**20:.0f} MiB"
    flood.kill()
    heavy_bus.listener.wait_for(sent[-1])
    relay.wait_for_log(" WARNING ", "overloaded")
    assert relay.running.alive()
    relay.settled()
