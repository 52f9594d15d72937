"""A clock that steps back an hour under a running relay and a spool in use changes nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from bus import Bus, StartBus, join
from clock import HOUR, Clock
from harness import Host, Ran, wait_until
from messages import Message, numbered
from relays import Relay
from spooled import deliver, expect_texts
from wire import Submitter

DAY = 24 * HOUR


@pytest.fixture
def clock(host: Host) -> Iterator[Clock]:
    with closing(Clock(host)) as clock:
        yield clock


@pytest.fixture
def clocked_bus(host: Host, clock: Clock, relay: Relay, start_bus: StartBus) -> Bus:
    """A bus whose relay lives by the clock, and keeps messages for a day."""
    host.configure_submit()
    host.write("relay.toml", "[journal]\nkeep_days = 1\n")
    relay.env |= clock.env
    return start_bus()


def journaled(host: Host) -> tuple[list[Message], list[float]]:
    """The messages of the journal in order, each with its time."""
    with closing(sqlite3.connect(host.journal_file)) as db:
        rows = db.execute("SELECT topic, body, time FROM message ORDER BY seq").fetchall()
    rows = [row for row in rows if row[0] == b"org.example.test.numbered"]
    return [(topic, body) for topic, body, _ in rows], [when / 1e6 for _, _, when in rows]


def take(bus: Bus, client: Submitter, start: int) -> None:
    """Five by submit, five by inbound; they come out in this order."""
    first = client.ask(*numbered(5, start=start))
    assert (first["status"], first["duplicates"]) == ("accepted", 0)
    bus.publisher.send_all(numbered(5, start=start + 5))
    bus.listener.expect(numbered(10, start=start))


def test_under_a_running_relay_nothing_is_lost_repeated_or_reordered(clocked_bus: Bus, clock: Clock) -> None:
    client = clocked_bus.sockets.submitter(clocked_bus.host.submit)
    take(clocked_bus, client, 0)
    clock.step(-HOUR)
    take(clocked_bus, client, 10)
    assert client.ask(*numbered(20))["duplicates"] == 20, "what came before the step is known after it"
    assert clocked_bus.relay.stop() == 0
    clocked_bus.relay.start()
    join(clocked_bus.publisher, clocked_bus.listener)
    assert client.ask(*numbered(20))["duplicates"] == 20, "and after a start with the clock as it is now"
    take(clocked_bus, client, 20)
    clock.step(HOUR)
    take(clocked_bus, client, 30)
    assert client.ask(*numbered(40))["duplicates"] == 40
    assert clocked_bus.relay.stop() == 0

    held, times = journaled(clocked_bus.host)
    assert held == numbered(40)
    now = time.time()
    offsets = [round((when - now) / HOUR) for when in times]
    assert offsets == [0] * 10 + [-1] * 20 + [0] * 10, "the relay's clock did step"
    assert not clocked_bus.relay.log_lines(" ERROR ")


def test_retention_takes_nothing_too_early_and_everything_in_the_end(clocked_bus: Bus, clock: Clock) -> None:
    client = clocked_bus.sockets.submitter(clocked_bus.host.submit)
    take(clocked_bus, client, 0)
    clock.step(-HOUR)
    take(clocked_bus, client, 10)
    clock.step(DAY - 60)  # the younger of the two lots, by the clock, is a day old in a minute
    take(clocked_bus, client, 20)
    old = client.ask(*numbered(20))
    assert (old["duplicates"], old["seq"][1] - old["seq"][0]) == (20, 19)
    wait_for_retention(clocked_bus)
    assert journaled(clocked_bus.host)[0] == numbered(30)
    clock.step(HOUR + 120)
    wait_until(lambda: journaled(clocked_bus.host)[0] == numbered(10, start=20), "what is a day old is removed")
    clock.step(DAY)
    wait_until(lambda: journaled(clocked_bus.host)[0] == [], "all but the newest, the filler, is removed")
    assert clocked_bus.relay.stop() == 0


def wait_for_retention(bus: Bus) -> None:
    """Return when retention has looked at the journal as it is now: it does so with every change of its size."""
    before = bus.relay.status()["journal"]["bytes"]
    (filler,) = [(b"org.example.test.filler", b'"' + b"x" * 100_000 + b'"')]
    bus.publisher.send(*filler)
    bus.listener.expect([filler])
    wait_until(lambda: bus.relay.status()["journal"]["bytes"] >= before + 50_000, "retention has looked again")


def test_status_shows_nothing_impossible(clocked_bus: Bus, clock: Clock) -> None:
    began = time.monotonic()
    client = clocked_bus.sockets.submitter(clocked_bus.host.submit)
    assert client.ask(*numbered(5))["status"] == "accepted"
    for step in (-HOUR, 2 * HOUR):
        clock.step(step)
        assert client.ask(*numbered(5))["duplicates"] == 5
        status = clocked_bus.relay.status()
        up = status["relay"]["uptime"]
        assert 0 <= up <= time.monotonic() - began + 60, f"up {up} s, {step} s after a step"
        assert 0 <= status["relay"]["since_last_turn"] < 60
        assert clocked_bus.host.run("fedmsg-relay", "status", env=clock.env).code == 0
        assert clocked_bus.host.run("fedmsg-relay", "probe", env=clock.env).code == 0
    assert clocked_bus.relay.stop() == 0


def log(host: Host, clock: Clock, text: str) -> Ran:
    return host.run("fedmsg-logger", "--message", text, env=clock.env)


def say(host: Host, clock: Clock, text: str) -> Ran:
    options = ["--modname=logger", "--topic=log", "--message", json.dumps({"log": text})]
    return host.run("fedmsg-spool", *options, env={**clock.env, "FEDMSG_SPOOL": str(host.spool)})


WAYS = {"fedmsg-logger": log, "fedmsg-spool": say}


@pytest.mark.parametrize("way", WAYS)
def test_messages_spooled_after_the_clock_steps_back_are_delivered_last(
    lonely: Host, clock: Clock, start_bus: StartBus, way: str
) -> None:
    texts = [f"{when} {number}" for when in ("before", "after") for number in range(3)]
    for text in texts:
        if text == "after 0":
            clock.step(-HOUR)
        assert WAYS[way](lonely, clock, text).code == 0
    bus = start_bus()
    assert deliver(lonely).code == 0
    expect_texts(bus, texts)


def test_both_ways_into_the_spool_keep_one_order_over_a_step_back(
    lonely: Host, clock: Clock, start_bus: StartBus
) -> None:
    texts = []
    for number in range(3):
        for name, way in WAYS.items():
            texts.append(f"{name} {number}")
            assert way(lonely, clock, texts[-1]).code == 0
        clock.step(-HOUR)
    bus = start_bus()
    assert deliver(lonely).code == 0
    expect_texts(bus, texts)
