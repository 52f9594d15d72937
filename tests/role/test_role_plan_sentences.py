"""The sentences of a plan, which people read before anything is changed, and those on where a move stands."""

from __future__ import annotations

import pytest

from fleet import CONFIG, STOCK_UNIT, Fleet, fleet, relay, scripts
from moves import DEPLOYED, first, half_way, move

MOVES = {
    "as it should be": (DEPLOYED, ["Nothing to change: app01, pkgs01"]),
    "the first deployment": (
        first(),
        [
            "app01: installs the program 2, gets a relay, gets a config that names app01, delivers its spool to the "
            "relay",
            "pkgs01: installs the program 2, gets a config that names app01, delivers its spool to the relay",
        ],
    ),
    "a move": (
        move(),
        [
            "app01: hands over to bus01, stays chained until unused, gets a config that names bus01 instead of app01",
            "bus01: gets a relay, gets a config that names bus01 instead of app01",
            "pkgs01: gets a config that names bus01 instead of app01",
        ],
    ),
    "a move of a relay that is down, with messages": (
        move(running=False, waiting=3),
        [
            "app01: hands over to bus01, stays chained until unused, gets a config that names bus01 instead of app01",
            "bus01: gets a relay, gets a config that names bus01 instead of app01",
            "pkgs01: gets a config that names bus01 instead of app01",
        ],
    ),
    "a move of a relay that is down, without messages": (
        move(running=False),
        [
            "app01: gets a config that names bus01 instead of app01, removes what is left of its relay: "
            "/etc/systemd/system/fedmsg-relay.service, /etc/fedmsg-relay/relay.toml",
            "bus01: gets a relay, gets a config that names bus01 instead of app01",
            "pkgs01: gets a config that names bus01 instead of app01",
        ],
    ),
    "the wait until the old relay is unused": (
        half_way("bus01"),
        [
            "app01: is chained, hands over to bus01, is retired when it has been unused for 300 s",
            "Nothing to change: bus01, pkgs01",
        ],
    ),
    "the way back": (
        half_way("app01"),
        [
            "app01: takes over from bus01, gets a config that names app01 instead of bus01",
            "bus01: hands over to app01, stays chained until unused, gets a config that names app01 instead of bus01",
            "pkgs01: gets a config that names app01 instead of bus01",
        ],
    ),
    "a relay that somebody stopped": (
        fleet(relay("app01", running=False), group="app01"),
        ["app01: starts its relay"],
    ),
    "a relay that was left chained": (
        fleet(relay("app01", upstream=("bus01",)), scripts("bus01", "app01"), group="app01"),
        ["app01: publishes by itself again", "Nothing to change: bus01"],
    ),
    "a chain that the inventory wants": (
        fleet(
            relay("app01", upstream=("hub",)),
            group="app01",
            variables={
                "app01": {"settings": {"upstream": {"submit": ["tcp://hub:9942"], "outbound": ["tcp://hub:3999"]}}}
            },
        ),
        ["Nothing to change: app01"],
    ),
    "other settings": (
        fleet(relay("app01"), group="app01", variables={"app01": {"settings": {"limits": {"x": 1}}}}),
        ["app01: changes its relay to what the inventory says"],
    ),
    "another port": (
        fleet(relay("app01", ports={"inbound": "9951", "outbound": "3999", "submit": "9942"}), group="app01"),
        [
            "app01: changes its relay to what the inventory says, stays bound to inbound tcp://*:9951 until that is "
            "unused",
        ],
    ),
    "a relay that gets a web process": (
        fleet(relay("app01"), group="app01", variables={"app01": {"web": True}}),
        ["app01: serves its journal over HTTP"],
    ),
    "a relay whose web process is older than its program": (
        fleet(
            relay("app01", web=True, more={"web": {"loaded": True, "ready": True, "outdated": True}}),
            group="app01",
            variables={"app01": {"web": True}},
        ),
        ["app01: serves its journal over HTTP"],
    ),
    "a relay that has the web process that it should have": (
        fleet(relay("app01", web=True), group="app01", variables={"app01": {"web": True}}),
        ["Nothing to change: app01"],
    ),
    "a relay that loses its web process": (
        fleet(relay("app01", web=True), group="app01"),
        ["app01: no longer serves its journal over HTTP"],
    ),
    "an upgrade": (
        fleet(relay("app01", release="releases/1"), scripts("pkgs01", "app01", release="", complete=()), group="app01"),
        ["app01: uses the program 2", "pkgs01: installs the program 2"],
    ),
    "an adoption": (
        fleet(
            scripts("app01", "app01", unit=STOCK_UNIT, running=True, their_config=True),
            group="app01",
            variables={"app01": {"adopt": True}},
        ),
        [
            f"app01: runs our relay in place of {STOCK_UNIT}, keeps {CONFIG} of others as a file that is read before "
            "ours",
        ],
    ),
    "a host that is to lose the program": (
        fleet(relay("app01"), scripts("pkgs01", "app01", commands=False), group="app01"),
        ["pkgs01: removes the program", "Nothing to change: app01"],
    ),
    "a relay that is gone": (
        fleet(relay("app01", "bus01"), relay("bus01"), group="bus01", gone=("app01",)),
        ["app01: its relay is left alone (fedmsg_relay_gone)", "Nothing to change: bus01"],
    ),
    "a host that does not answer": (
        fleet(relay("app01"), scripts("pkgs01", "app01", answers=False), group="app01"),
        ["No answer: pkgs01", "Nothing to change: app01"],
    ),
    "a config that cannot be executed": (
        fleet(relay("app01", "x", more={"config": {"inbound": [], "error": "SyntaxError: no"}}), group="app01"),
        ["app01: gets a config, as the present one cannot be executed: SyntaxError: no"],
    ),
}
"""What is to come, and how it is said."""


@pytest.mark.parametrize(("world", "sentences"), MOVES.values(), ids=MOVES)
def test_the_plan_is_said_a_line_for_each_host(world: Fleet, sentences: list[str]) -> None:
    plan = world.plan()
    assert plan.refusal == ""
    assert plan.sentences == sentences


@pytest.mark.parametrize(
    ("world", "sentence"),
    [
        (DEPLOYED, "No move is under way."),
        (
            move(),
            "app01 is out of the group fedmsg_relay and has not handed over yet; these configs do not name the new "
            "relay yet: app01, bus01, pkgs01. The next run of playbooks/relay.yml continues the move.",
        ),
        (
            half_way("bus01"),
            "app01 is out of the group fedmsg_relay and hands over to bus01. The next run of playbooks/relay.yml "
            "retires it once it is unused.",
        ),
        (
            fleet(relay("app01"), scripts("pkgs01", "x"), group="app01"),
            "These configs differ from the inventory: pkgs01. Run playbooks/relay.yml.",
        ),
        (
            fleet(relay("app01", ports={"inbound": "9951"}), group="app01"),
            "app01 is also bound to inbound tcp://*:9951, which the inventory no longer names. The next run of "
            "playbooks/relay.yml retires the unused ones.",
        ),
    ],
)
def test_people_are_told_where_a_move_stands(world: Fleet, sentence: str) -> None:
    assert world.plan().standing == sentence
