"""The steps of docs/dead-host.md: the plan of a run after the relay's host has died for good."""

from __future__ import annotations

from pathlib import Path

from fedmsg_relay_plan.plan import Plan

from fleet import fleet, relay, scripts

PAGE = " ".join((Path(__file__).parents[2] / "docs/dead-host.md").read_text().split())


def steps(plan: Plan, name: str) -> list[str]:
    return [str(step) for step in plan.hosts[name].steps]


def test_a_run_without_the_dead_host_is_refused_and_says_what_to_type() -> None:
    plan = fleet(scripts("app01", "bus01"), scripts("pkgs01", "bus01"), group="app01").plan()
    assert plan.refusal.startswith("bus01 is named as the relay by the config of app01, pkgs01 and is not in this run")
    assert """run with -e '{"fedmsg_relay_gone": ["bus01"]}'.""" in plan.refusal
    assert """-e '{"fedmsg_relay_gone": ["busgateway01.example.org"]}'""" in PAGE


def test_the_new_relay_is_deployed_where_the_dead_one_is_named() -> None:
    site = fleet(scripts("app01", "bus01"), scripts("pkgs01", "bus01"), group="app01", gone=["bus01"])
    plan = site.plan()
    assert plan.refusal == ""
    assert {"install", "replace", "point_relay"} <= set(steps(plan, "app01"))
    assert "point" in steps(plan, "pkgs01")
    assert "hand_over" not in steps(plan, "app01") + steps(plan, "pkgs01")


def test_no_later_run_needs_to_name_it() -> None:
    plan = fleet(relay("app01"), scripts("pkgs01", "app01"), group="app01").plan()
    assert plan.refusal == ""
    assert plan.sentences == ["Nothing to change: app01, pkgs01"]


def test_a_move_has_to_tolerate_a_dead_host_of_the_inventory() -> None:
    plan = fleet(relay("bus01", answers=False), scripts("app01", "bus01"), group="app01").plan()
    assert plan.refusal.startswith("bus01 could not be reached")
    assert "fedmsg_relay_tolerate_unreachable" in plan.refusal
    assert "fedmsg_relay_tolerate_unreachable" in PAGE


def test_a_dead_host_beside_another_relay_is_taken_out_in_the_same_way() -> None:
    machines = [relay("app01", config=("app01", "bus01")), scripts("pkgs01", "app01", "bus01")]
    assert "fedmsg_relay_gone" in fleet(*machines, group="app01").plan().refusal
    plan = fleet(*machines, group="app01", gone=["bus01"]).plan()
    assert plan.refusal == ""
    assert "point" in steps(plan, "pkgs01")


def test_a_new_machine_of_the_same_name_just_gets_a_relay() -> None:
    plan = fleet(scripts("bus01"), scripts("pkgs01", "bus01"), group="bus01").plan()
    assert plan.refusal == ""
    assert "replace" in steps(plan, "bus01")


def test_a_host_that_comes_back_after_all_hands_over() -> None:
    plan = fleet(relay("app01"), relay("bus01"), scripts("pkgs01", "app01"), group="app01").plan()
    assert plan.refusal == ""
    assert plan.leaving == ["bus01"]
    assert "hand_over" in steps(plan, "bus01")
