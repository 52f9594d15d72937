"""The part of each host in a plan, and its steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fedmsg_relay_plan.parts import Part
from fedmsg_relay_plan.steps import Step

from fleet import Fleet, fleet, relay, scripts
from moves import DEPLOYED, half_way, move

TASKS = Path(__file__).parents[2] / "roles/fedmsg_relay/tasks"

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
