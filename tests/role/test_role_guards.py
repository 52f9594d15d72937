"""A run refuses faults before anything is changed, and asks hosts the questions for that."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_plan.faults import fault_of
from fedmsg_relay_plan.plan import plan
from fedmsg_relay_plan.questions import Question
from fedmsg_relay_plan.world import read

from fleet import CONFIG, STOCK_UNIT, Fleet, fleet, relay, scripts

MOVE_PORTS = {"inbound": "9941", "outbound": "9942", "submit": "9951"}


def well(**shared: Any) -> Fleet:
    return fleet(relay("app01"), scripts("pkgs01", "app01"), group="app01", **shared)


def stock(**more: Any) -> Fleet:
    machine = scripts("app01", "app01", unit=STOCK_UNIT, running=True)
    return fleet(machine, group="app01", variables={"app01": more})


def peers(submitters: list[str], listeners: list[str]) -> dict[str, Any]:
    answer = {"relay": {"pid": 17}, "peers": {"submitters": submitters, "listeners": listeners}}
    return {"status": {"rc": 0, "stderr": "", "answer": answer}}


FAULTS = {
    "no relay": (
        fleet(scripts("pkgs01"), group=()),
        {},
        "The group fedmsg_relay has no host, so no relay would remain.",
    ),
    "no name on the network": (
        well(),
        {"network": "lan"},
        "The relay app01 has no address on the network lan, on which pkgs01 is: set fedmsg_relay_addresses.lan",
    ),
    "a name that is none": (
        well(variables={"app01": {"names": {"default": "a'+b"}}}),
        {},
        "The address of the relay app01 on the network default is neither a host name nor an IP address: a'+b.",
    ),
    "a name of two relays": (
        fleet(
            relay("app01"),
            relay("bus01"),
            group=("app01", "bus01"),
            variables={"bus01": {"names": {"default": "app01"}}},
        ),
        {},
        "Each relay needs an address of its own. These are the addresses: app01, app01.",
    ),
    "inbound in the rest of the config": (
        well(),
        {"config_extra": {"relay_inbound": ["tcp://x:1"]}},
        "fedmsg_relay_config_extra names the relay, but",
    ),
    "outbound in the rest of the config": (
        well(),
        {"config_extra": {"endpoints": {"relay_outbound": "x"}}},
        "fedmsg_relay_config_extra names the relay, but",
    ),
}
"""A fleet, what its inventory says of pkgs01, and the fault that is found without looking at any host."""


@pytest.mark.parametrize(("world", "said", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_the_inventory_is_found_before_any_host_is_looked_at(
    world: Fleet, said: dict[str, Any], fault: str
) -> None:
    inventory = {**well().inventory("pkgs01"), **said}
    found = fault_of(inventory, "pkgs01", world.shared())
    assert found.startswith(fault)
    assert found.endswith(" Nothing was changed.")


@pytest.mark.parametrize("name", ["app01", "app01.example.org", "10.0.0.1", "fd00::17", "a_b-c"])
def test_names_and_ip_addresses_are_accepted(name: str) -> None:
    world = well(variables={"app01": {"names": {"default": name}}})
    for said in ({}, {"config_extra": {"endpoints": None, "x": 1}}):
        assert fault_of({**world.inventory("pkgs01"), **said}, "pkgs01", world.shared()) == ""


HOST_REFUSALS = {
    "a stock relay": (stock(), f"Not written by this role: {STOCK_UNIT}. If these are a stock relay, its config"),
    "a config of others": (
        fleet(scripts("app01", "x", their_config=True), group="app01"),
        f"Not written by this role: {CONFIG}. If these",
    ),
    "a unit that runs something else": (stock(adopt=True), "fedmsg_relay_adopt is set, but"),
}


@pytest.mark.parametrize(("world", "refusal"), HOST_REFUSALS.values(), ids=HOST_REFUSALS)
def test_a_host_is_refused_by_itself(world: Fleet, refusal: str) -> None:
    told = world.told()
    told["app01"]["looked"]["service"]["properties"]["ExecStart"] = "{ argv[]=/usr/bin/other-relay ; }"
    made = plan(read(world.shared(), told))
    assert made.hosts["app01"].refusal.startswith(refusal)
    assert made.hosts["app01"].refusal.endswith(" Nothing was changed.")
    assert made.sentences[0] == f"app01: cannot go on: {made.hosts['app01'].refusal}"


def test_a_stock_relay_is_adopted_where_the_inventory_says_so() -> None:
    assert stock(adopt=True).plan().hosts["app01"].refusal == ""


RUN_REFUSALS = {
    "a port of another process": (
        fleet(scripts("app01", "app01", more={"ports": [["9942", "httpd", "5"], ["22", "sshd", "6"]]}), group="app01"),
        "On app01 another process holds a port that the relay needs: 9942 httpd 5 (port, process, pid). Stop it",
    ),
    "an old port that becomes another endpoint's": (
        fleet(relay("app01", ports=MOVE_PORTS), group="app01"),
        "On app01 tcp://*:9942 belongs to outbound until it is unused, and would become submit's",
    ),
    "a relay that nobody knows": (
        fleet(relay("app01"), scripts("pkgs01", "app01", more={"processes": ["44"]}), group="app01"),
        "A relay runs on pkgs01 (pid 44) that this role did not install, and the host is not in the group fedmsg_relay",
    ),
    "a second relay beside the one that leaves": (
        fleet(relay("app01", more={"processes": ["17", "44"]}), scripts("bus01", "app01"), group="bus01"),
        "A relay runs on app01 (pid 44) that this role did not install",
    ),
    "a move without a host": (
        fleet(relay("app01"), scripts("bus01", "app01"), scripts("pkgs01", "app01", answers=False), group="bus01"),
        "pkgs01 could not be reached, or was refused above, and this is a move. To move without hosts that do not "
        """answer, run with -e '{"fedmsg_relay_tolerate_unreachable": ["pkgs01"]}', or give it a number""",
    ),
    "a move without a host that is refused": (
        fleet(relay("app01"), scripts("bus01", "app01"), scripts("pkgs01", "app01", their_config=True), group="bus01"),
        "pkgs01 could not be reached, or was refused above",
    ),
    "a move without its destination": (
        fleet(relay("app01"), scripts("bus01", "app01"), group="bus01", limit=("app01",)),
        "This is a move to bus01, which is not in this run (--limit, or not in the group fedmsg): run again without",
    ),
    "a move without its origin": (
        fleet(relay("app01"), scripts("bus01", "app01"), group="bus01", limit=("bus01",)),
        "app01 is named as the relay by the config of bus01 and is not in this run: run again without --limit. If that "
        """relay will never run again, run with -e '{"fedmsg_relay_gone": ["app01"]}'.""",
    ),
    "a move without more hosts than are tolerated": (
        fleet(
            relay("app01"),
            scripts("bus01", "app01"),
            scripts("pkgs01", "app01", answers=False),
            scripts("pkgs02", "app01", answers=False),
            group="bus01",
            tolerated=1,
        ),
        "pkgs01, pkgs02 could not be reached, or was refused above, and this is a move",
    ),
    "a move without the old relay, which no number tolerates": (
        fleet(relay("app01", answers=False), scripts("bus01", "app01"), group="bus01", tolerated="all"),
        "app01 could not be reached, or was refused above, and this is a move",
    ),
    "a way back without the relay that leaves": (
        fleet(relay("app01", upstream=("bus01",)), relay("bus01", "app01"), group="app01", limit=("app01",)),
        "The relay on app01 is chained to bus01, which is not in this run or does not answer: run again without",
    ),
    "a way back while the relay that leaves does not answer": (
        fleet(relay("app01", upstream=("bus01",)), relay("bus01", "app01", answers=False), group="app01"),
        "The relay on app01 is chained to bus01, which is not in this run or does not answer: run again without",
    ),
    "a relay that was deleted from the inventory": (
        fleet(scripts("bus01", "app01"), scripts("pkgs01", "app01"), group="bus01"),
        "app01 is named as the relay by the config of bus01, pkgs01 and is not in this run nor in the inventory: put",
    ),
}


@pytest.mark.parametrize(("world", "refusal"), RUN_REFUSALS.values(), ids=RUN_REFUSALS)
def test_a_run_is_refused_for_all_hosts(world: Fleet, refusal: str) -> None:
    made = world.plan()
    assert made.refusal.startswith(refusal)
    assert made.refusal.endswith(" Nothing was changed.")
    assert f"Refused: {made.refusal}" in made.sentences


GOES_ON = {
    "a port that the relay has itself": well(),
    "a port whose process nobody names, where the relay runs": fleet(
        relay("app01", more={"ports": [["9942", "", ""]]}), group="app01"
    ),
    "a host that a move can do without": fleet(
        relay("app01"),
        scripts("bus01", "app01"),
        scripts("pkgs01", "app01", answers=False),
        group="bus01",
        tolerated=("pkgs01",),
    ),
    "as many hosts as are tolerated": fleet(
        relay("app01"),
        scripts("bus01", "app01"),
        scripts("pkgs01", "app01", answers=False),
        scripts("pkgs02", "app01", answers=False),
        group="bus01",
        tolerated="50%",
    ),
    "a host that does not answer, where a relay only waits to be retired": fleet(
        relay("app01", "bus01", upstream=("bus01",)),
        relay("bus01"),
        scripts("pkgs01", "app01", answers=False),
        group="bus01",
    ),
    "a way back without a relay that is gone": fleet(
        relay("app01", upstream=("bus01",)), relay("bus01", "app01", answers=False), group="app01", gone=("bus01",)
    ),
    "a host that does not answer, where nothing moves": fleet(
        relay("app01"), scripts("pkgs01", "app01", answers=False), group="app01"
    ),
    "a relay that is gone": fleet(scripts("bus01", "app01"), group="bus01", gone=("app01",)),
    "a relay that is gone, and a process of it": fleet(
        relay("app01", "bus01", more={"processes": ["17", "44"]}), relay("bus01"), group="bus01", gone=("app01",)
    ),
    "a relay under another name of the inventory": fleet(
        relay("app01", "bus.vpn"), group="app01", variables={"app01": {"names": {"default": "app01", "vpn": "bus.vpn"}}}
    ),
    "a config that names no host": fleet(relay("app01", "*"), group="app01"),
    "a run that is limited to a script host": fleet(
        relay("app01"), scripts("pkgs01", "app01"), group="app01", limit=("pkgs01",)
    ),
}


@pytest.mark.parametrize("world", GOES_ON.values(), ids=GOES_ON)
def test_a_run_goes_on(world: Fleet) -> None:
    made = world.plan()
    assert (made.refusal, [host.refusal for host in made.hosts.values() if host.refusal]) == ("", [])


def test_a_name_that_may_be_a_relays_own_is_asked_for() -> None:
    world = fleet(relay("app01", "old-name"), scripts("pkgs01", "localhost"), group="app01")
    made = plan(world.world())
    assert made.questions == {"app01": Question(["old-name"], [], waiting=False)}
    assert made.refusal == "", "before the answer"
    world.answers = {"app01": {"names": ["old-name", "localhost"]}}
    assert plan(world.world()).refusal == ""
    world.answers = {"app01": {"names": []}}
    assert plan(world.world()).refusal.startswith("localhost, old-name is named as the relay by the config of pkgs01")


def test_peers_that_are_chained_are_looked_for() -> None:
    said = peers(["10.9.0.1:5", "10.9.0.2:6", "[fd00::9]:7", f"10.0.0.{ord('1')}:8"], ["10.9.0.1:9", "[fd00::9]:1"])
    world = fleet(relay("app01", more=said), group="app01")
    made = plan(world.world())
    assert made.questions == {"app01": Question([], ["10.9.0.1", "fd00::9"], waiting=False)}
    world.answers = {"app01": {"peers": []}}
    assert plan(world.world()).refusal == ""
    world.answers = {"app01": {"peers": ["10.9.0.1"]}}
    found = plan(world.world()).refusal
    assert found.startswith(
        "A relay at 10.9.0.1 hands over to the relay on app01, and no host of this run has that address."
    )
    assert """run with -e '{"fedmsg_relay_gone": ["10.9.0.1"]}'.""" in found


@pytest.mark.parametrize("more", [{"limit": ("app01",)}, {"gone": ("10.9.0.1",)}])
def test_peers_that_may_be_elsewhere_are_not_looked_for(more: dict[str, Any]) -> None:
    machine = relay("app01", more=peers(["10.9.0.1:5"], ["10.9.0.1:9"]))
    assert plan(fleet(machine, group="app01", **more).world()).questions == {}


def test_messages_of_a_stopped_relay_that_leaves_are_counted() -> None:
    world = fleet(relay("app01", running=False), scripts("bus01", "app01"), group="bus01")
    assert plan(world.world()).questions == {"app01": Question([], [], waiting=True)}
    running = fleet(relay("app01"), scripts("bus01", "app01"), group="bus01")
    assert plan(running.world()).questions == {}
