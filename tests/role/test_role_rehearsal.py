"""Runs of the role over random fleets: killed at any point, with other inventories, with hosts down or broken."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from fedmsg_relay_plan.steps import Step
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import Fleet, fleet, relay, scripts
from rehearsal import Rehearsal

NAMES = ("a", "b", "c", "d")
GROUPS = st.sampled_from([("a",), ("b",), ("a",), ("b",), ("c",), ("a", "b"), ("b", "a"), ("b", "c")])
RUNS = 6
"""More runs than any fleet needs to become as it should be."""


@st.composite
def edits(draw: st.DrawFn) -> dict[str, Any]:
    """What happens between two runs, and where the next one ends."""
    some = st.one_of(*[st.just(set[str]())] * 3, st.sets(st.sampled_from(NAMES), max_size=2))
    return {
        "group": draw(GROUPS),
        "limit": draw(st.sampled_from([*[()] * 6, ("a", "b"), ("b", "c", "d")])),
        "tags": draw(st.sampled_from([*[("all",)] * 6, ("program",), ("keys",), ("relay",), ("scripts",)])),
        "down": draw(some),
        "tolerated": draw(st.one_of(some.map(sorted), st.sampled_from([1, "25%", "50%", "all"]), st.just([*NAMES]))),
        "broken": draw(some),
        "stuck": draw(st.sampled_from([(), ("c",), ("d",)])),
        "idle": draw(st.sampled_from([(), NAMES])),
        "used": draw(some),
        "stopped": draw(some),
        "starting": draw(some),
        "waiting": draw(some),
        "ends_after": draw(st.one_of(st.just(1000), st.integers(1, 25))),
    }


def begin(group: tuple[str, ...]) -> Fleet:
    """A fleet that is deployed and well."""
    machines = [relay(name, *group) if name in group else scripts(name, *group) for name in NAMES]
    machines[3].commands = False
    machines[3].release, machines[3].complete, machines[3].spool = "", (), False
    return fleet(*machines, group=group)


def live(world: Fleet, edit: dict[str, Any]) -> None:
    """Let time pass until the next run."""
    world.group, world.limit, world.tags = edit["group"], edit["limit"], edit["tags"]
    world.tolerated = edit["tolerated"]
    for name, machine in world.machines.items():
        machine.answers = name not in edit["down"]
        machine.broken, machine.stuck = name in edit["broken"], name in edit["stuck"]
        machine.starting = name in edit["starting"]
        # Peers are where a config has sent them, or where they have been.
        named = any(name in (one.config or ()) for one in world.machines.values())
        machine.visited = machine.visited or named
        used = named and name not in edit["idle"]  # no script of those hosts publishes now
        machine.used = machine.running and (used or (machine.visited and name in edit["used"]))
        if name in edit["stopped"]:
            machine.running, machine.used = False, False
            machine.waiting = 3 if name in edit["waiting"] and machine.unit else 0


def run(world: Fleet, ends_after: int = 1000) -> Rehearsal:
    """Run the role until it ends, or the controller dies."""
    rehearsal = Rehearsal.of(world)
    for number, _ in enumerate(rehearsal.run(), 1):
        if number >= ends_after:
            break
    return rehearsal


def heal(world: Fleet) -> None:
    """Bring all hosts back, and let the peers go where the configs send them."""
    world.limit, world.tags, world.tolerated = (), ("all",), ()
    for name, machine in world.machines.items():
        machine.answers, machine.broken, machine.stuck, machine.starting = True, False, False, False
        machine.used = machine.running and any(name in (one.config or ()) for one in world.machines.values())


@settings(max_examples=250)
@given(group=GROUPS, lives=st.lists(edits(), min_size=1, max_size=4))
def test_no_run_takes_a_relay_away_or_names_one_that_has_not_proved_itself(
    group: tuple[str, ...], lives: list[dict[str, Any]]
) -> None:
    world = begin(group)
    for edit in lives:
        live(world, edit)
        assert run(world, edit["ends_after"]).violations == []


@settings(max_examples=250)
@given(group=GROUPS, lives=st.lists(edits(), min_size=1, max_size=4))
def test_running_again_ends_in_what_the_inventory_says(group: tuple[str, ...], lives: list[dict[str, Any]]) -> None:
    world = begin(group)
    for edit in lives:
        live(world, edit)
        run(world, edit["ends_after"])
    for _ in range(RUNS):
        heal(world)
        rehearsal = run(world)
        assert rehearsal.plan.refusal == ""
        assert rehearsal.violations == []
    for name, machine in world.machines.items():
        assert (machine.alone, machine.running) == ((True, True) if name in world.group else (False, False)), machine
        assert machine.config == world.group
        assert machine.unit == ("ours" if name in world.group else "")
    assert [host.changes for host in world.plan().hosts.values()] == [[]] * len(NAMES)


@settings(max_examples=120, deadline=None)
@given(group=GROUPS, lives=st.lists(edits(), min_size=1, max_size=3))
def test_a_plan_without_changes_changes_nothing(group: tuple[str, ...], lives: list[dict[str, Any]]) -> None:
    world = begin(group)
    for edit in lives:
        live(world, edit)
        before = deepcopy(world.machines)
        done = run(world, edit["ends_after"])
        unchanged = [name for name, host in done.plan.hosts.items() if not host.changes]
        assert done.plan.refusal == "" or world.machines == before
        assert [name for name in unchanged if world.machines[name] != before[name]] == []


@pytest.mark.parametrize("group", [("a",), ("a", "b")])
def test_a_fleet_that_is_well_has_an_empty_plan(group: tuple[str, ...]) -> None:
    world = begin(group)
    done = run(world)
    assert done.plan.sentences == [f"Nothing to change: {', '.join(NAMES)}"]
    assert Step.REMOVE_PROGRAM not in done.plan.hosts["d"].steps


def test_a_rehearsal_notices_what_must_not_be() -> None:
    """A plan that retires at once, and one that skips the chain."""
    for left_out, complaint in ((Step.CHAIN, "apart from each other"), (Step.REPLACE, "has not proved itself")):
        world = begin(("a",))
        live(
            world,
            {"group": ("b",), "limit": (), "tags": ("all",), "tolerated": (), "ends_after": 0}
            | dict.fromkeys(("down", "broken", "stuck", "idle", "used", "stopped", "starting", "waiting"), ()),
        )
        rehearsal = Rehearsal.of(world)
        for host in rehearsal.plan.hosts.values():
            kept = [step for step in host.steps if step not in (left_out, Step.HAND_OVER, Step.RELY, Step.REACH)]
            host.steps[:] = kept
        rehearsal.plan.leaving.clear()
        list(rehearsal.run())
        assert any(complaint in found for found in rehearsal.violations), rehearsal.violations
