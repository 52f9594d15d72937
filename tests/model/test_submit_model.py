"""submit against a model: whatever is submitted in whatever order, and however the relay ends in between.

The model says beforehand what is answered, what stands in the journal then, and what a stock listener has heard.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bus import join
from harness import Host, wait_until
from messages import Message, compare
from relays import Relay
from submit_model import Model, name
from submitted import NOT_WELL_FORMED
from wire import Listener, Publisher, Sockets, Submitter

TOPIC = b"org.example.test.model"
KINDS = [zmq.DEALER, zmq.REQ]
NO_REQUEST = {
    "no message": ([b"FMR1"], "bad-request"),
    "a topic without a body": ([b"FMR1", TOPIC], "bad-request"),
    "half a pair": ([b"FMR1", TOPIC, b"{}", TOPIC], "bad-request"),
    "another version": ([b"FMR2", TOPIC, b"{}"], "bad-version"),
    "no version": ([b"", TOPIC, b"{}"], "bad-version"),
    "1001 messages": ([b"FMR1", *[TOPIC, b"{}"] * 1001], "batch-too-large"),
}


@dataclass
class World:
    """The real relay, one for all examples, and its clients."""

    relay: Relay
    sockets: Sockets
    publisher: Publisher
    listener: Listener
    model: Model
    serial: Iterator[int] = field(default_factory=itertools.count)

    def message(self, msg_id: str | None) -> Message:
        """A message unlike every other, also where it has the msg_id of another."""
        body: dict[str, Any] = {"i": next(self.serial), "msg": {}}
        if msg_id is not None:
            body["msg_id"] = msg_id
        return TOPIC, json.dumps(body).encode()

    def fresh(self) -> Message:
        return self.message(f"2026-{next(self.serial)}")

    def journal(self) -> list[Message]:
        """The real journal."""
        with closing(sqlite3.connect(self.relay.host.journal_file)) as db:
            rows = db.execute("SELECT seq, topic, body FROM message ORDER BY seq").fetchall()
        assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
        return [(topic, body) for _, topic, body in rows]

    def start(self) -> int:
        """Start the relay again; return the last seq that it is sure to have published, as it says."""
        self.relay.start()
        found = re.search(r"last seq (\d+), (\d+) waiting", self.relay.wait_for_log(f"[{self.relay.pid}]", " waiting"))
        assert found
        return int(found[1]) - int(found[2])


# Drawn at random: the kind of each message of a batch.

items = st.one_of(
    st.just(("fresh", 0)),
    st.just(("nameless", 0)),
    st.tuples(st.just("again"), st.integers(0, 30)),  # the so-and-so-last of this example, of this batch as well
    st.tuples(st.just("renamed"), st.integers(0, 30)),  # other bytes under a msg_id that is known
)
batches = st.lists(items, min_size=1, max_size=6)
mixed_batches = st.lists(
    st.one_of(items, items, st.tuples(st.sampled_from(sorted(NOT_WELL_FORMED)), st.just(0))), min_size=1, max_size=6
)


class SubmitAndModel(RuleBasedStateMachine):
    """One example: a few requests, and at most one end of the relay, in some order."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.model = self.world.model
        self.begun = len(self.model.journal)
        self.sent: list[Message] = []
        self.published: int | None = None
        self.ended = False
        self.clients: list[Submitter] = []

    @initialize()
    def connect(self) -> None:
        if not self.world.relay.running.alive():
            self.world.start()  # an example before this one failed
        self.clients = [self.world.sockets.submitter(self.world.relay.host.submit, kind) for kind in KINDS]

    def messages(self, batch: list[tuple[str, int]]) -> list[Message]:
        made: list[Message] = []
        for kind, back in batch:
            known = [message for message in [*self.sent, *made] if message not in NOT_WELL_FORMED.values()]
            earlier = known[-1 - back % len(known)] if known else self.world.fresh()
            match kind:
                case "fresh":
                    made.append(self.world.fresh())
                case "nameless":
                    made.append(self.world.message(None))
                case "again":
                    made.append(earlier)
                case "renamed":
                    made.append(self.world.message(name(earlier) or None))
                case reason:
                    made.append(NOT_WELL_FORMED[reason])
        self.sent += made
        return made

    @rule(batch=mixed_batches, client=st.sampled_from([0, 1]))
    def submit(self, batch: list[tuple[str, int]], client: int) -> None:
        messages = self.messages(batch)
        expected = self.model.submit(messages)
        assert self.ask(client, messages) == expected

    def ask(self, client: int, messages: list[Message]) -> dict[str, Any]:
        answer = self.clients[client].ask(*messages)
        answer.pop("detail", None)
        return answer

    @rule(what=st.sampled_from(sorted(NO_REQUEST)), client=st.sampled_from([0, 1]))
    def submit_what_is_no_request(self, what: str, client: int) -> None:
        frames, reason = NO_REQUEST[what]
        self.clients[client].send_frames(*frames)
        answer = self.clients[client].answer()
        assert (answer["status"], answer["reason"]) == ("refused", reason)
        self.model.counts["refused"] += 1

    @rule(batch=batches)
    def publish(self, batch: list[tuple[str, int]]) -> None:
        """At inbound; the last is a fresh one, to wait for: no order is promised between the two ways in."""
        self.send([*batch, ("fresh", 0)])

    def send(self, batch: list[tuple[str, int]]) -> None:
        for message in self.messages(batch):
            self.model.publish(message)
            self.world.publisher.send(*message)
        last = self.model.journal[-1]
        wait_until(lambda: last in self.world.listener.messages, "what was published at inbound is heard")

    @precondition(lambda self: not self.ended)
    @rule(batch=batches, tenths=st.integers(0, 60))
    def kill_while_a_batch_is_submitted(self, batch: list[tuple[str, int]], tenths: int) -> None:
        """Nobody knows whether it was taken; the retry must be answered as one or the other."""
        messages = self.messages(batch)
        self.clients[0].send(*messages)
        time.sleep(tenths / 10_000)
        self.world.relay.kill()
        self.published = self.restarted()
        taken = copy.deepcopy(self.model)
        taken.submit(messages)
        outcomes = []
        for model in (self.model, taken):
            model.restart()
            outcomes.append((model.submit(messages), model.journal, model))
        found = self.ask(0, messages), self.world.journal()
        possible = [model for *expected, model in outcomes if tuple(expected) == found]
        assert possible, f"answered {found[0]}, expected one of {[answer for answer, *_ in outcomes]} and its journal"
        self.model = possible[0]

    @precondition(lambda self: not self.ended)
    @rule()
    def stop_and_start(self) -> None:
        """Nothing is repeated."""
        self.world.relay.stop()
        self.model.restart()
        assert self.restarted() == len(self.model.journal)

    def restarted(self) -> int:
        self.ended = True
        for client in self.clients:
            client.close()
        published = self.world.start()
        self.connect()
        return published

    def teardown(self) -> None:
        world = self.world
        self.send([("fresh", 0)])  # whatever is repeated comes before it
        world.model = self.model
        for client in self.clients:
            client.close()
        compare(world.journal(), self.model.journal)
        counts = world.relay.settled()
        expected = {name: self.model.counts[name] for name in ("journaled", "refused", "duplicates")}
        assert {name: counts[name] for name in expected} == expected
        assert world.relay.status()["reused_names"] == self.model.counts["reused"]
        self.compare_heard(self.model.journal)

    def compare_heard(self, expected: list[Message]) -> None:
        """Each in its order; after a kill it goes back, once, to the first that was not noted as published.

        That may be one of the example before. What is heard may fit both ways, as some are sent again.
        """
        heard = self.world.listener.messages
        ways: set[tuple[int, int | None]] = {(self.begun, self.published)}  # the next one, and where it may go back to

        def follow() -> bool:
            nonlocal ways
            while heard:
                message = (heard[0][0], heard.pop(0)[1])
                on = {(place + 1, back) for place, back in ways if expected[place : place + 1] == [message]}
                again = {(back + 1, None) for _, back in ways if back is not None and expected[back] == message}
                nexts = [expected[place : place + 1] for place, _ in ways]
                assert on or again, f"{message!r} was heard where one of {nexts} comes next"
                ways = on | again
            return any(place == len(expected) for place, _ in ways)

        wait_until(follow, "all of it is heard")


@pytest.fixture
def world(host: Host, relay: Relay, sockets: Sockets) -> World:
    host.configure_submit()
    host.write("relay.toml", "[limits]\nmax_message_size = 4096\n")
    relay.start()
    listener, publisher = sockets.stock_listener(host.outbound), sockets.publisher(host.inbound)
    join(publisher, listener)
    world = World(relay, sockets, publisher, listener, Model([]))

    place = f"127.0.0.1 at port {host.outbound.rpartition(':')[2]}"

    def remembered() -> bool:
        with closing(sqlite3.connect(host.journal_file)) as db:
            return db.execute("SELECT address FROM listener").fetchall() == [(place,)]

    wait_until(remembered, "the journal knows the listener")
    world.model.journal = world.journal()
    return world


@pytest.mark.timeout(300)
def test_submit_does_what_the_model_says(world: World) -> None:
    bounds = settings(
        max_examples=40,
        stateful_step_count=12,
        print_blob=True,
        database=None,
        phases=[Phase.generate],  # no shrinking: that would cost a real restart for each try
        suppress_health_check=list(HealthCheck),
    )

    class HereAndNow(SubmitAndModel):
        pass

    HereAndNow.world = world
    # Beside it the listener is heard all the time: only so does it subscribe again where the relay is new.
    world.listener.hear_while(lambda: run_state_machine_as_test(HereAndNow, settings=bounds))
