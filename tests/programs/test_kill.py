"""kill -9 at random points while messages are submitted: messages with a receipt are in the journal and come out."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

import pytest

from bus import join
from fedmsg_relay.daemon.publishing import MOST_TWICE
from harness import Host, wait_until
from messages import Message
from relays import Relay
from wire import Listener, Sockets, Submitter

CLIENTS = 4
LONGEST_LIFE = 0.06
"""Seconds after which it is killed at the latest, counted from when it is ready."""

TOPIC = b"org.example.test.kill"


def message(number: int) -> Message:
    return TOPIC, b'{"i":%d,"msg":{"filler":"%s"},"msg_id":"2026-%d"}' % (number, b"x" * (number % 600), number)


@dataclass
class Client:
    """Submits batch after batch, and after a kill the one again that got no receipt."""

    random: Random
    numbers: Iterator[int]
    batch: list[int] = field(default_factory=list)
    submitter: Submitter | None = None
    receipts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def connect(self, sockets: Sockets, address: str) -> None:
        self.submitter = sockets.submitter(address)
        self.send()

    def send(self) -> None:
        assert self.submitter
        self.batch = self.batch or [next(self.numbers) for _ in range(self.random.randint(1, 30))]
        self.submitter.send(*map(message, self.batch))

    def take_answer(self) -> bool:
        """Note the receipt if it is there."""
        assert self.submitter
        answer = self.submitter.answer_if_any()
        if answer is None:
            return False
        assert answer["status"] == "accepted", answer
        first, last = answer["seq"]
        self.receipts.update(dict.fromkeys(self.batch, (first, last)))
        self.batch = []
        return True

    def disconnect(self) -> None:
        if self.submitter:
            self.take_answer()  # it may have come just before the kill
            self.submitter.close()
            self.submitter = None


class Trial:
    """One relay that is killed again and again, its clients and its listener."""

    def __init__(self, relay: Relay, sockets: Sockets, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 -- nothing here is secret
        self.relay, self.sockets = relay, sockets
        numbers = iter(range(10**9))
        self.clients = [Client(self.random, numbers) for _ in range(CLIENTS)]
        relay.start()
        self.listener: Listener = sockets.listener(relay.host.outbound)
        join(sockets.publisher(relay.host.inbound), self.listener)
        relay.kill()

    def round(self) -> None:
        if self.random.random() < 0.1:  # some die on their way up
            process = self.relay.launch()
            self.submit_for(self.random.uniform(0.0, 0.4))
            process.kill()
        else:
            self.relay.start()
            self.submit_for(self.random.uniform(0.0, LONGEST_LIFE))
            self.relay.kill()
        for client in self.clients:
            client.disconnect()

    def submit_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for client in self.clients:
            client.connect(self.sockets, self.relay.host.submit)
        while time.monotonic() < deadline:
            for client in self.clients:
                if client.take_answer():
                    client.send()
            time.sleep(0.0005)

    def finish(self) -> None:
        """The last start: every client gets its receipt, and everything comes out."""
        self.relay.start()
        for client in self.clients:
            client.connect(self.sockets, self.relay.host.submit)
            wait_until(client.take_answer, "the last receipt")
            client.disconnect()
        self.relay.settled()
        self.relay.stop()

    def receipts(self) -> dict[int, tuple[int, int]]:
        return {number: seq for client in self.clients for number, seq in client.receipts.items()}

    def found_waiting(self) -> list[range]:
        """The messages that each start found journaled but not noted as published: they may have come out."""
        lines = [re.search(r"last seq (\d+), (\d+) waiting", line) for line in self.relay.log_lines(" waiting")]
        found = [(int(line[1]), int(line[2])) for line in lines if line]
        return [range(last - waiting + 1, last + 1) for last, waiting in found]


@pytest.mark.timeout(1800)
def test_kill_9_loses_no_receipt_and_journals_nothing_twice(
    host: Host, relay: Relay, sockets: Sockets, seed: int, request: pytest.FixtureRequest
) -> None:
    host.configure_submit()
    trial = Trial(relay, sockets, seed)
    rounds: int = request.config.getoption("--kill-rounds")

    def kill_again_and_again() -> None:
        for _ in range(rounds):
            trial.round()
        trial.finish()

    trial.listener.hear_while(kill_again_and_again)

    with closing(sqlite3.connect(host.journal_file)) as db:
        rows = db.execute("SELECT seq, body FROM message WHERE topic = ? ORDER BY seq", (TOPIC,)).fetchall()
        everything = [seq for (seq,) in db.execute("SELECT seq FROM message ORDER BY seq")]
    assert everything == list(range(1, len(everything) + 1))
    seqs = {json.loads(body)["i"]: seq for seq, body in rows}
    assert len(seqs) == len(rows), "a message is in the journal twice"
    assert {number: (TOPIC, body) for number, (_, body) in zip(seqs, rows, strict=True)} == {
        number: message(number) for number in seqs
    }
    receipts = trial.receipts()
    assert [n for n, (first, last) in receipts.items() if not first <= seqs.get(n, 0) <= last] == []

    heard = [frames[1] for frames in trial.listener.messages if frames[0] == TOPIC]
    times = Counter(seqs[json.loads(body)["i"]] for body in heard)
    lost = [number for number in receipts if not times[seqs[number]]]
    twice = {seq for seq, count in times.items() if count > 1}
    again = len(rows) - len(seqs)
    print(f"{rounds} kills, {len(receipts)} receipts: {len(lost)} lost, {again} taken twice, {len(twice)} heard twice")
    assert lost == [], f"{len(lost)} have a receipt and never came out"
    assert list(times) == sorted(times), "the order in which they first came out"
    assert set(times) == set(seqs.values()), "what is in the journal came out, with a receipt or without"
    # The relay cannot know what listeners got just before a kill: messages not noted as published come again.
    starts = trial.found_waiting()
    assert twice <= {seq for waiting in starts for seq in waiting}
    assert len(twice) <= rounds * MOST_TWICE


def test_a_kill_under_load_brings_a_bounded_number_out_again(host: Host, relay: Relay, sockets: Sockets) -> None:
    host.configure_submit()
    relay.start()
    listener = sockets.listener(host.outbound)
    join(sockets.publisher(host.inbound), listener)
    relay.noted()
    sent = [message(number) for number in range(60_000)]
    client = sockets.submitter(host.submit)
    for start in range(0, len(sent), 1000):
        assert client.ask(*sent[start : start + 1000])["status"] == "accepted"
    relay.kill()
    listener.hear_while(relay.start)
    heard = Counter(listener.wait_for(sent[-1]))
    last = message(len(sent))
    assert sockets.submitter(host.submit).ask(last)["status"] == "accepted"
    heard.update(listener.wait_for(last))
    assert heard.keys() == {*sent, last}, "none is lost"
    assert sum(heard.values()) - len(sent) - 1 <= MOST_TWICE
