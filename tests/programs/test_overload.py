"""Clients that submit more than the relay can take, and read no answers: memory stays bounded, others get receipts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from bus import Bus, StartBus
from harness import COMMANDS, Host, Process, wait_until
from messages import Message, envelope, numbered
from raw import RawPeer, framed
from wire import Submitter

CLIENTS = 50
BOUND = 768 * 2**20
"""Bytes the relay may hold at any moment: 64 MiB that wait for their turn, the batch in work, and what libzmq takes in
from 50 clients while that batch is synced."""

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


def test_a_publisher_of_large_messages_is_held_back(heavy_bus: Bus) -> None:
    """While the relay is busy it keeps 1000 messages of each publisher; here it waits for its journal."""
    body = b'"' + b"x" * 100_000 + b'"'
    large = framed([(b"org.example.test.large", body)])
    writer = RawPeer(heavy_bus.host.inbound).shake_hands()

    def write() -> None:
        for _ in range(5000):
            writer.send(large)
        writer.finish()

    memory = [heavy_bus.relay.memory()]
    received = heavy_bus.relay.messages()["received"]

    def all_received() -> bool:
        memory.append(heavy_bus.relay.memory())
        return heavy_bus.relay.messages()["received"] == received + 5000

    with ThreadPoolExecutor(1) as beside, closing(sqlite3.connect(heavy_bus.host.journal_file)) as db:
        db.execute("BEGIN IMMEDIATE")
        writing = beside.submit(write)
        heavy_bus.relay.wait_for_log("ERROR", "journal cannot be written")
        db.rollback()
        wait_until(all_received, "it is all received")
        writing.result()
    assert max(memory) - memory[0] < 2 * 1000 * len(body), memory


@pytest.fixture
def flood(heavy_bus: Bus) -> Iterator[Process]:
    process = heavy_bus.host.start(COMMANDS / "python", "-c", PUSH, heavy_bus.host.submit, str(CLIENTS))
    yield process
    process.kill()


def took(answer: Mapping[str, Any]) -> bool:
    """Whether it is a receipt; if not, the relay is busy and says for how long."""
    if answer["status"] == "accepted":
        return True
    assert answer.keys() == {"status", "retry_after"}
    assert answer["status"] == "busy"
    assert 0 < answer["retry_after"] < 10
    return False


def submit(client: Submitter, message: Message) -> int:
    """Submit as docs/submit.md has it; return how often the relay was busy before it gave its receipt."""
    busy = 0

    def accepted() -> bool:
        nonlocal busy
        answer = client.ask(message)
        if took(answer):
            return True
        busy += 1
        time.sleep(answer["retry_after"])
        return False

    wait_until(accepted, "a receipt")
    return busy


@pytest.mark.timeout(240)
def test_clients_that_push_and_never_read_cost_others_nothing_but_time(
    heavy_bus: Bus, flood: Process, request: pytest.FixtureRequest
) -> None:
    relay = heavy_bus.relay
    client = heavy_bus.sockets.submitter(heavy_bus.host.submit)
    wait_until(lambda: relay.messages()["received"] > 2 * CLIENTS, "the flood reaches the relay")
    sent: list[Message] = []
    memory: list[int] = []
    busy = 0
    until = time.monotonic() + request.config.getoption("--flood-seconds")

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
    assert relay.running.alive()
    relay.settled()


class Pushing:
    """A client with one heavy batch that it submits again, after the time it was told, until it has its receipt."""

    def __init__(self, bus: Bus, number: int) -> None:
        self.batch = [
            envelope("org.example.test.heavy", n, filler="x" * 2**20) for n in range(8 * number, 8 * number + 8)
        ]
        self.busy = 0
        self._again = 0.0
        self._client = bus.sockets.submitter(bus.host.submit)
        self._client.send(*self.batch)

    def done(self) -> bool:
        if self._again and time.monotonic() >= self._again:
            self._again = 0.0
            self._client.send(*self.batch)
        answer = self._client.answer_if_any()
        if answer is None:
            return False
        if took(answer):
            assert answer["duplicates"] == 0, "busy means that nothing was taken"
            return True
        self.busy += 1
        self._again = time.monotonic() + float(answer["retry_after"])
        return False


def test_a_client_told_that_the_relay_is_busy_gets_its_receipt_by_a_retry(heavy_bus: Bus) -> None:
    heavy_bus.relay.running.send_signal(SIGSTOP)
    clients = [Pushing(heavy_bus, number) for number in range(20)]
    heavy_bus.relay.running.send_signal(SIGCONT)
    waiting = list(clients)

    def all_done() -> bool:
        waiting[:] = [client for client in waiting if not client.done()]
        return not waiting

    heavy_bus.listener.hear_while(lambda: wait_until(all_done, "every client has its receipt", timeout=90))
    assert sum(client.busy for client in clients) > 0
    assert heavy_bus.relay.status()["overloaded"] == sum(client.busy for client in clients)
    heavy_bus.relay.wait_for_log(" WARNING ", "overloaded")
    assert heavy_bus.relay.status()["connections"]["cut"] == 0, "who behaves is not cut"
    sent = {message for client in clients for message in client.batch}
    wait_until(lambda: len(heavy_bus.listener.hear(0.1)) >= len(sent), "all of it is heard")
    heard = [(topic, body) for topic, body in heavy_bus.listener.messages]
    assert len(heard) == len(sent)
    for client in clients:
        start = heard.index(client.batch[0])
        assert heard[start : start + 8] == client.batch, "a batch comes out whole and in order"
    assert heavy_bus.relay.settled()["duplicates"] == 0
