"""Which hosts a run can do without: a list, a number, a share, or all; never a relay's host unless it is named."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_plan.faults import fault_of
from fedmsg_relay_plan.tolerance import tolerated

from fleet import fleet, relay, scripts

HOSTS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("value", "silent", "found"),
    [
        ([], HOSTS, ()),
        (["a", "x"], HOSTS, ("a", "x")),
        (0, ("a",), ()),
        (2, HOSTS, ()),
        (3, HOSTS, HOSTS),
        ("3", HOSTS, HOSTS),
        (1, ("a", "relay"), ("a",)),
        ("29%", HOSTS, ()),
        ("30%", HOSTS, HOSTS),
        ("10.5%", ("a",), ("a",)),
        ("9%", ("a",), ()),
        ("all", HOSTS, HOSTS),
        ("all", ("a", "relay"), ("a",)),
    ],
)
def test_a_run_can_do_without_these_hosts(value: Any, silent: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert tolerated(value, silent, ("relay",), asked=10) == frozenset(found)


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "some", "ten%", {"a": 1}, [1], ""])
def test_another_value_is_a_fault_of_the_inventory(value: Any) -> None:
    world = fleet(relay("app01"), group="app01", tolerated=value)
    fault = fault_of(world.inventory("app01"), "app01", world.shared())
    assert fault.startswith("fedmsg_relay_tolerate_unreachable is "), fault


def test_a_relay_that_leaves_is_retired_without_the_tolerated_hosts() -> None:
    world = fleet(
        relay("app01", "bus01", upstream=("bus01",)),
        relay("bus01"),
        scripts("pkgs01", "app01", answers=False),
        group="bus01",
        tolerated=1,
    )
    made = world.plan()
    assert (made.refusal, made.tolerated) == ("", ["pkgs01"])


def test_a_retirement_does_not_do_without_a_host_that_answers() -> None:
    world = fleet(
        relay("app01", "bus01", upstream=("bus01",)),
        relay("bus01"),
        scripts("pkgs01", "app01"),
        scripts("pkgs02", "app01", answers=False),
        group="bus01",
        tolerated=["pkgs01", "pkgs02"],
    )
    made = world.plan()
    assert (made.refusal, made.tolerated) == ("", ["pkgs02"])
    assert "retire" in made.hosts["app01"].steps
