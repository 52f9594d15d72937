"""The plan of a run, host by host: parts, steps, and the sentences that people read before anything is changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_plan.faults import fault_of
from fedmsg_relay_plan.parts import Part
from fedmsg_relay_plan.plan import of
from fedmsg_relay_plan.steps import Step
from fedmsg_relay_plan.web import urls

from fleet import CONFIG, STOCK_UNIT, WEB, Fleet, fleet, relay, scripts

TASKS = Path(__file__).parents[2] / "roles/fedmsg_relay/tasks"

DEPLOYED = fleet(relay("app01"), scripts("pkgs01", "app01"), group="app01")


def first() -> Fleet:
    """Nothing is there yet."""
    machines = [scripts(name, config=None, release="", complete=(), spool=False) for name in ("app01", "pkgs01")]
    return fleet(*machines, group="app01")


def move(**old: Any) -> Fleet:
    """app01 left the group for bus01."""
    machines = [relay("app01", **old), scripts("bus01", "app01"), scripts("pkgs01", "app01")]
    return fleet(*machines, group="bus01")


def half_way(group: str) -> Fleet:
    """app01 hands over to bus01 already."""
    machines = [relay("app01", "bus01", upstream=("bus01",)), relay("bus01"), scripts("pkgs01", "bus01")]
    return fleet(*machines, group=group)


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
        ["app01: gets a config in place of one that cannot be executed: SyntaxError: no"],
    ),
}
"""What is to come, and how it is said."""


@pytest.mark.parametrize(("world", "sentences"), MOVES.values(), ids=MOVES)
def test_the_plan_is_said_a_line_for_each_host(world: Fleet, sentences: list[str]) -> None:
    plan = world.plan()
    assert plan.refusal == ""
    assert plan.sentences == sentences


SERVED = fleet(relay("app01", web=True), group="app01", variables={"app01": {"web": True}})
"""A relay with a web process."""

REPLACED, POINTED = "replace rely reach", "point_relay deliver prune count"

STEPS = {
    "relay": (DEPLOYED, "app01", Part.RELAY, "install replace rely reach point_relay deliver prune count"),
    "script host": (DEPLOYED, "pkgs01", Part.SCRIPTS, "install rely reach point deliver prune count"),
    "handing over": (
        move(),
        "app01",
        Part.LEAVING,
        "rely install_later chain hand_over point deliver retire prune count",
    ),
    "handing over, chained before": (
        half_way("bus01"),
        "app01",
        Part.LEAVING,
        "rely install_later chain_last hand_over point deliver retire prune count",
    ),
    "leaving, stopped": (
        move(running=False),
        "app01",
        Part.LEAVING,
        "rely reach install_later use point deliver retire prune count",
    ),
    "leaving, stopped, for a host without commands": (
        move(running=False, commands=False),
        "app01",
        Part.LEAVING,
        "rely reach point retire remove_program count",
    ),
    "taking over": (
        half_way("app01"),
        "app01",
        Part.RELAY,
        "install replace rely reach take_over point_relay deliver prune count",
    ),
    "without commands": (
        fleet(relay("app01"), scripts("pkgs01", "app01", commands=False, complete=()), group="app01"),
        "pkgs01",
        Part.SCRIPTS,
        "rely reach point count",
    ),
    "gone": (
        fleet(relay("app01", "bus01"), relay("bus01"), group="bus01", gone=("app01",)),
        "app01",
        Part.GONE,
        "install rely reach point deliver prune count",
    ),
    "with a web process": (SERVED, "app01", Part.RELAY, f"install install_web {REPLACED} serve {POINTED}"),
    "that is to lose its web process": (
        fleet(relay("app01", web=True), group="app01"),
        "app01",
        Part.RELAY,
        "install replace rely reach point_relay stop_serving deliver prune count",
    ),
    "handing over, with a web process": (
        move(web=True),
        "app01",
        Part.LEAVING,
        "rely install_later chain hand_over point stop_serving deliver retire prune count",
    ),
    "gone, with a web process": (
        fleet(relay("app01", "bus01", web=True), relay("bus01"), group="bus01", gone=("app01",)),
        "app01",
        Part.GONE,
        "install rely reach point deliver prune count",
    ),
    "another port, with a web process": (
        fleet(
            relay("app01", web=True, ports={"inbound": "9951", "outbound": "3999", "submit": "9942"}),
            group="app01",
            variables={"app01": {"web": True}},
        ),
        "app01",
        Part.RELAY,
        "install install_web replace rely reach serve point_relay deliver retire_addresses serve_again prune count",
    ),
    "another port": (
        fleet(relay("app01", ports={"inbound": "9951", "outbound": "3999", "submit": "9942"}), group="app01"),
        "app01",
        Part.RELAY,
        "install replace rely reach point_relay deliver retire_addresses prune count",
    ),
}
"""A world, a host of it, its part and its steps."""


@pytest.mark.parametrize(("world", "host", "part", "steps"), STEPS.values(), ids=STEPS)
def test_each_host_has_its_part_and_its_steps(world: Fleet, host: str, part: Part, steps: str) -> None:
    mine = world.plan().hosts[host]
    assert mine.part is part
    assert " ".join(mine.steps) == steps


def test_the_tasks_take_the_steps_in_the_order_of_the_plan() -> None:
    text = "".join(
        (TASKS / "move/hand_over.yml").read_text() if "move/hand_over.yml" in block else block
        for block in re.split(r"(?=^- name:)", (TASKS / "main.yml").read_text(), flags=re.MULTILINE)
    )
    assert re.findall(r"when: \"?'(\w+)' in __fedmsg_relay_steps", text) == list(Step)


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


def test_files_of_others_are_told_apart() -> None:
    dropins = ["/etc/systemd/system/fedmsg-relay.service.d/a.conf", "/etc/systemd/system/service.d/b.conf"]
    machine = scripts("app01", "app01", unit="/etc/init.d/fedmsg-relay", running=True, their_config=True)
    world = fleet(machine, group="app01", variables={"app01": {"adopt": True}})
    told = world.told()
    told["app01"]["looked"]["service"]["properties"] |= {
        "SourcePath": machine.unit,
        "FragmentPath": "/run/x",
        "DropInPaths": " ".join(dropins),
    }
    replaced = of(told, world.shared())["hosts"]["app01"]["replaced"]
    assert replaced == {
        "files": [CONFIG, "/etc/init.d/fedmsg-relay"],
        "unit": ["/etc/init.d/fedmsg-relay"],
        "config": [CONFIG],
        "commands": [],
        "dropins": dropins[:1],
        "copies": [{"src": path, "dest": f"/var/backups/fedmsg-relay/adopted{path}"} for path in (CONFIG, dropins[0])],
    }


def test_a_unit_of_others_in_the_place_of_the_web_process_is_refused() -> None:
    world = fleet(relay("app01"), group="app01", variables={"app01": {"web": True}})
    told = world.told()
    told["app01"]["looked"]["files"]["foreign"] = [WEB]
    assert f"Not written by this role: {WEB}." in of(told, world.shared())["hosts"]["app01"]["refusal"]
    told["app01"]["inventory"]["web"] = False
    assert of(told, world.shared())["hosts"]["app01"]["refusal"] == ""


def test_consumers_are_told_only_a_place_that_is_there() -> None:
    world = fleet(relay("app01"), group="app01", variables={"app01": {"datagrepper": True}})
    inventory = world.inventory("app01")
    assert fault_of(inventory, "app01", world.shared()) == (
        "fedmsg_relay_datagrepper is set on app01, but no relay has a web process: set fedmsg_relay_web for the group "
        "fedmsg_relay. Nothing was changed."
    )
    world.variables["app01"]["web"] = True
    assert fault_of(inventory, "app01", world.shared()) == ""


def test_a_web_process_is_where_the_settings_say() -> None:
    relays: list[tuple[str, bool, dict[str, Any]]] = [
        ("app01", False, {}),
        ("[fd00::17]", True, {}),
        ("app03", True, {"http": {"listen": ["ipc:///run/x", "tcp://*:80"]}}),
        ("app04", True, {"http": {"listen": []}}),
    ]
    assert urls(relays) == ["http://[fd00::17]:9943", "http://app03:80", "http://app04:9943"]


def test_an_address_that_another_process_has_by_now_is_not_kept() -> None:
    ports = {"inbound": "9951", "outbound": "3999", "submit": "9942"}
    machine = relay("app01", running=False, ports=ports, more={"ports": [["9951", "httpd", "5"]]})
    assert fleet(machine, group="app01").plan().hosts["app01"].old == {}
    machine.more = {}
    assert fleet(machine, group="app01").plan().hosts["app01"].old == {"inbound": ["tcp://*:9951"]}


def test_ansible_gets_text_and_no_types_of_python() -> None:
    made = of(DEPLOYED.told(), DEPLOYED.shared())
    host = made["hosts"]["pkgs01"]
    assert {type(one) for one in [host["part"], *host["steps"]]} == {str}
    assert set(made) == {"hosts", "relays", "leaving", "tolerated", "refusal", "questions", "sentences", "standing"}
