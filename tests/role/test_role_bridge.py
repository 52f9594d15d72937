"""The plan of the role for bridges to RabbitMQ: where one runs, and when one may go."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fedmsg_relay_plan.bridge import unsent
from fedmsg_relay_plan.retire import relay_stays

from fleet import BRIDGE, BRIDGE_SETTINGS, Fleet, Machine, fleet, relay, scripts

WANTED = {"app01": {"bridge": True}, "bus01": {"bridge": True}}


def one(machine: Machine, **more: Any) -> Fleet:
    return fleet(machine, group="app01", variables={"app01": {"bridge": True}}, **more)


def move(**more: Any) -> Fleet:
    """A move of a relay with a bridge, which the inventory wants wherever the relay runs."""
    return fleet(relay("app01", bridge=True, **more), scripts("bus01", "app01"), group="bus01", variables=WANTED)


OUTDATED = {"bridge": {"loaded": True, "ready": True, "outdated": True, "rc": 0, "summary": ""}}

SENTENCES = {
    "a relay that gets a bridge": (one(relay("app01")), "app01: bridges its journal to RabbitMQ"),
    "one that has it": (one(relay("app01", bridge=True)), "Nothing to change: app01"),
    "one with other settings": (
        one(relay("app01", bridge=True, bridge_differs=True)),
        "app01: bridges its journal to RabbitMQ",
    ),
    "one older than its program": (
        one(relay("app01", bridge=True, more=OUTDATED)),
        "app01: bridges its journal to RabbitMQ",
    ),
    "one that loses it": (
        fleet(relay("app01", bridge=True), group="app01"),
        "app01: no longer bridges its journal to RabbitMQ, once that is sent",
    ),
    "one that is gone": (
        fleet(relay("app01", "bus01", bridge=True), relay("bus01"), group="bus01", gone=("app01",)),
        "app01: its relay is left alone (fedmsg_relay_gone)",
    ),
    "a script host, which has none": (
        fleet(relay("app01"), scripts("bus01", "app01"), group="app01", variables={"bus01": {"bridge": True}}),
        "Nothing to change: app01, bus01",
    ),
    "the relay that leaves": (
        move(),
        "app01: hands over to bus01, stays chained until unused, no longer bridges its journal to RabbitMQ, once that "
        "is sent, gets a config that names bus01 instead of app01",
    ),
}


@pytest.mark.parametrize(("world", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_the_plan_says_what_becomes_of_a_bridge(world: Fleet, sentence: str) -> None:
    assert world.plan().sentences[0] == sentence


STEPS = {
    "a relay": (one(relay("app01")), "app01", "install install_bridge replace rely reach bridge point_relay"),
    "one that loses it": (
        fleet(relay("app01", bridge=True), group="app01"),
        "app01",
        "install install_bridge replace rely reach stop_bridging point_relay",
    ),
    "one that leaves": (
        move(),
        "app01",
        "rely install_later install_bridge_later chain hand_over stop_bridging point",
    ),
    "one that left, and was stopped": (
        move(running=False),
        "app01",
        "rely reach install_later install_bridge_later use stop_bridging point",
    ),
    "one that left, for a host without commands": (
        move(running=False, commands=False),
        "app01",
        "rely reach stop_bridging point",
    ),
    "the new one": (move(), "bus01", "install install_bridge replace rely reach bridge point_relay"),
    "with the tag relay": (
        one(relay("app01"), tags=("relay",)),
        "app01",
        "install install_bridge replace bridge prune",
    ),
    "with the tag program": (one(relay("app01"), tags=("program",)), "app01", "install install_bridge"),
}


@pytest.mark.parametrize(("world", "host", "steps"), STEPS.values(), ids=STEPS)
def test_a_bridge_goes_before_the_next_one_comes(world: Fleet, host: str, steps: str) -> None:
    taken = [str(step) for step in world.plan().hosts[host].steps]
    assert taken[: len(steps.split())] == steps.split()


def test_a_unit_of_others_in_the_place_of_the_bridge_is_refused() -> None:
    world = one(scripts("app01", "app01", more={"files": {"ours": [], "foreign": [BRIDGE, BRIDGE_SETTINGS]}}))
    assert f"Not written by this role: {BRIDGE_SETTINGS}, {BRIDGE}. " in world.plan().hosts["app01"].refusal
    without = fleet(*world.machines.values(), group="app01")
    assert without.plan().hosts["app01"].refusal == ""


def told(cursor: int, last: int, waiting: int = 0) -> str:
    forward = {"cursor": cursor, "journal_last": last, "waiting": waiting}
    return json.dumps({"summary": "CRITICAL - away", "forward": forward})


@pytest.mark.parametrize(
    ("asked", "now", "reason"),
    [
        (told(7, 9, 2), told(9, 9), ""),
        (told(7, 9, 2), told(12, 99, 87), ""),  # on a busy bus some message always waits
        (told(7, 9, 2), told(8, 9, 1), "it has not sent 1 messages of the journal (CRITICAL - away)"),
        (told(0, 0), told(0, 0), ""),
        (
            '{"summary": "no bridge has run"}',
            '{"summary": "no bridge has run"}',
            "nobody knows what it has sent (no br",
        ),
        (told(7, 9), "", "nobody knows what it has sent (the program does not tell)"),
        ("", "[]", "nobody knows what it has sent (the program does not tell)"),
    ],
)
def test_a_bridge_may_go_when_it_has_sent_what_was_there(asked: str, now: str, reason: str) -> None:
    found = unsent(asked, now)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_a_relay_stays_as_long_as_its_bridge() -> None:
    peers = {"publishers": [], "submitters": [], "listeners": [], "idle_seconds": 900}
    status: Any = {"upstream": {"state": "joined"}, "peers": peers, "messages": {"waiting": 0}}
    assert relay_stays(status, 300, [], limited=False) == ""
    stays = relay_stays(status, 300, [], limited=False, bridge="it has not sent 3 messages")
    assert stays == "its bridge has to send its journal first: it has not sent 3 messages"
