"""A chained relay whose link is cut and whose relays are killed: all it accepted comes out at its outbound."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from bus import join
from cable import Cable
from harness import wait_until
from messages import Message, envelope, numbered
from sites import Site
from wire import Listener, Sockets, Submitter


class Line:
    """An upstream, a relay chained to it over cables, and a listener of that one that is connected throughout."""

    def __init__(self, old: Site, new: Site, sockets: Sockets) -> None:
        self.old, self.new, self.sockets = old, new, sockets
        self.submit = Cable(old.host, new.host.submit)
        self.outbound = Cable(old.host, new.host.outbound)
        new.relay.start()
        old.host.write(
            "relay.toml", f'[upstream]\nsubmit = ["{self.submit.address}"]\noutbound = ["{self.outbound.address}"]\n'
        )
        old.join()
        self.listener: Listener = sockets.listener(old.host.outbound)
        join(sockets.publisher(old.host.inbound), self.listener)

    def cut(self) -> None:
        self.submit.cut()
        self.outbound.cut()

    def mend(self) -> None:
        self.submit.mend()
        self.outbound.mend()

    def close(self) -> None:
        self.submit.close()
        self.outbound.close()


@pytest.fixture
def line(old: Site, new: Site, sockets: Sockets) -> Iterator[Line]:
    with contextlib.closing(Line(old, new, sockets)) as line:
        yield line


def accepted(client: Submitter, *messages: Message) -> None:
    assert client.ask(*messages)["status"] == "accepted"


def test_messages_unheard_for_a_cut_of_upstream_come_out_here(line: Line) -> None:
    client = line.sockets.submitter(line.old.host.submit)
    line.outbound.swallow()
    accepted(client, *numbered(100))
    line.old.relay.settled()
    line.cut()
    line.old.wait_for_upstream("away")
    line.mend()
    line.old.wait_for_upstream("joined")
    line.listener.expect(numbered(100))


def test_missed_messages_come_out_before_those_forwarded_later(line: Line) -> None:
    client = line.sockets.submitter(line.old.host.submit)
    line.outbound.swallow()
    accepted(client, *numbered(100))
    line.old.relay.settled()
    line.cut()
    accepted(client, *numbered(100, 100))
    line.mend()
    line.listener.expect(numbered(200))


def test_missed_messages_come_out_after_a_kill_and_after_a_stop(line: Line) -> None:
    for start, end in ((0, line.old.relay.kill), (100, line.old.relay.stop)):
        line.old.relay.noted()
        line.outbound.swallow()
        accepted(line.sockets.submitter(line.old.host.submit), *numbered(100, start))
        wait_until(lambda: not line.old.relay.messages()["waiting"], "upstream has all of it")
        end()
        line.cut()
        line.mend()
        line.old.join()
        line.listener.expect(numbered(100, start))


def test_upstream_killed_with_what_it_took_unpublished_is_heard_once(line: Line) -> None:
    """After a start it waits for its previous listeners: a missing one delays everything."""
    gone = line.sockets.listener(line.new.host.outbound)
    publisher = line.sockets.publisher(line.new.host.inbound)
    join(publisher, gone, line.listener)
    wait_until(lambda: len(remembered(line.new)) >= 2, "upstream remembers its listeners")
    line.new.relay.kill()
    gone.close()
    line.new.relay.start()
    client = line.sockets.submitter(line.old.host.submit)
    line.old.wait_for_upstream("joined")
    accepted(client, *numbered(100))
    line.listener.expect(numbered(100))
    accepted(client, *numbered(1, 100))
    line.listener.expect(numbered(1, 100))


def remembered(site: Site) -> list[str]:
    with contextlib.closing(sqlite3.connect(site.host.journal_file)) as db:
        return [address for (address,) in db.execute("SELECT address FROM listener")]


class Trial:
    """Numbered messages are submitted to the chained relay, one after the other, while all is cut and killed."""

    TOPIC = "org.example.test.echo"

    def __init__(self, line: Line, seed: int) -> None:
        self.line = line
        self.random = Random(seed)  # noqa: S311 -- nothing here is secret
        self.sent = 0
        self.cuts = 0

    def submit_for(self, seconds: float) -> None:
        """Messages without a receipt are submitted again."""
        client = self.line.sockets.submitter(self.line.old.host.submit)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            batch = [
                envelope(self.TOPIC, number) for number in range(self.sent, self.sent + self.random.randint(1, 20))
            ]
            client.send(*batch)
            answer = client.answer_if_any(2.0)
            if answer is None or answer["status"] != "accepted":
                return
            self.sent += len(batch)

    def round(self) -> None:
        event = self.random.choice([self.cut, self.kill_chained, self.kill_upstream])
        self.submit_for(self.random.uniform(0.05, 0.4))
        event()
        self.submit_for(self.random.uniform(0.05, 0.4))
        self.line.mend()
        for site in (self.line.old, self.line.new):
            if not site.relay.running.alive():
                site.relay.start()
        if self.random.random() < 0.7:
            self.line.old.wait_for_upstream("joined")

    def cut(self) -> None:
        self.cuts += 1
        cuts = [self.line.cut, self.line.outbound.cut]
        if self.random.random() < 0.5:
            self.line.outbound.swallow()
            self.submit_for(0.1)
        else:
            cuts.append(self.line.submit.cut)
        self.random.choice(cuts)()

    def kill_chained(self) -> None:
        self.line.old.relay.kill()

    def kill_upstream(self) -> None:
        self.line.new.relay.kill()

    def finish(self) -> None:
        self.line.old.wait_for_upstream("joined")
        self.line.old.relay.settled()
        self.sent += 1
        last = envelope(self.TOPIC, self.sent - 1)
        accepted(self.line.sockets.submitter(self.line.old.host.submit), last)
        wait_until(lambda: last in self.line.listener.messages, "the last message")


def under_way(site: Site) -> set[int]:
    """The seqs that each start found sent perhaps: journaled, but not noted as published."""
    lines = [re.search(r"last seq (\d+), (\d+) waiting", line) for line in site.relay.log_lines(" waiting")]
    found = [(int(line[1]), int(line[2])) for line in lines if line]
    return {seq for last, waiting in found for seq in range(last - waiting + 1, last + 1)}


def seqs(site: Site, topic: str) -> dict[int, int]:
    """The seq of each number."""
    found = enumerate(site.journaled(), start=1)
    return {json.loads(body)["i"]: seq for seq, (where, body) in found if where == topic.encode()}


@pytest.mark.timeout(600)
def test_messages_with_a_receipt_come_out_in_order_despite_cuts_and_kills(
    line: Line, seed: int, request: pytest.FixtureRequest
) -> None:
    trial = Trial(line, seed)
    rounds: int = request.config.getoption("--cut-rounds")

    def cut_and_kill() -> None:
        for _ in range(rounds):
            trial.round()
        trial.finish()

    line.listener.hear_while(cut_and_kill)
    numbers = [json.loads(body)["i"] for topic, body in line.listener.messages if topic == trial.TOPIC.encode()]
    times = Counter(numbers)
    lost = [number for number in range(trial.sent) if not times[number]]
    twice = {number for number, count in times.items() if count > 1}
    print(f"{rounds} rounds, {trial.cuts} cuts, {trial.sent} receipts: {len(lost)} lost, {len(twice)} heard twice")
    assert lost == [], f"{len(lost)} have a receipt and never came out"
    assert list(times) == sorted(times), "the order in which they first came out"
    # A message that comes twice was under way in a killed relay. A cut alone repeats nothing.
    here, there = seqs(line.old, trial.TOPIC), seqs(line.new, trial.TOPIC)
    killed_here, killed_there = under_way(line.old), under_way(line.new)
    assert [n for n in twice if here[n] not in killed_here and there[n] not in killed_there] == []
