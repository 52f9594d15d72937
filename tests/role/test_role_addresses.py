"""The addresses of a relay that are old, their users, and those that can be retired."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_plan import addresses

WANTED = {"inbound": ["tcp://app01:9951"], "outbound": ["tcp://app01:3999"], "submit": ["tcp://app01:9942"]}


def told(endpoint: str, address: str, idle: float, *peers: str) -> dict[str, Any]:
    """An address as status shows it."""
    return {"endpoint": endpoint, "address": address, "peers": list(peers), "idle_seconds": idle}


def test_bound_addresses_are_the_relays_word_or_else_those_of_its_settings() -> None:
    settings = '[bind]\ninbound = ["tcp://app01:9941", "tcp://[fd00::17]:9941"]\nsubmit = ["tcp://*:9942"]\n'
    running = {"endpoints": {"inbound": ["tcp://*:9931"], "outbound": [], "submit": []}}
    assert addresses.bound(running, settings) == {"inbound": ["tcp://*:9931"]}
    assert addresses.bound({}, settings) == {
        "inbound": ["tcp://*:9941", "tcp://[fd00::17]:9941"],
        "submit": ["tcp://*:9942"],
    }
    for nothing in ("", "bind = 5", "no toml", "[bind]\ninbound = 5"):
        assert addresses.bound({}, nothing) == {}


@pytest.mark.parametrize(
    ("bound", "old"),
    [
        (["tcp://*:9951"], []),
        (["tcp://*:9941"], ["tcp://*:9941"]),
        (["tcp://*:9951", "tcp://*:9941", "tcp://*:9931"], ["tcp://*:9941", "tcp://*:9931"]),
        (["tcp://10.0.0.1:9951"], []),  # the new wildcard takes it in
        (["tcp://10.0.0.1:9941"], ["tcp://10.0.0.1:9941"]),
        (["tcp://*:22"], []),  # held by another process: no relay is found there
        (["ipc:///run/x"], ["ipc:///run/x"]),
    ],
)
def test_an_address_that_is_bound_and_not_wanted_is_old(bound: list[str], old: list[str]) -> None:
    assert addresses.missing({"inbound": bound}, WANTED, held=["22"]) == ({"inbound": old} if old else {})


def test_a_wildcard_is_old_where_one_interface_is_wanted() -> None:
    wanted = {"inbound": ["tcp://10.0.0.1:9941"]}
    bound = {"inbound": ["tcp://*:9941"]}
    assert addresses.missing(bound, wanted) == bound
    assert addresses.missing(wanted, bound) == {}, "nothing is new: it is reached there already"


def test_going_back_makes_the_other_one_old() -> None:
    back = {"inbound": ["tcp://app01:9941"]}
    old = addresses.missing({"inbound": ["tcp://*:9951", "tcp://*:9941"]}, back)
    assert addresses.merged(back, old) == {"inbound": ["tcp://app01:9941", "tcp://*:9951"]}


@pytest.mark.parametrize(
    ("old", "wanted", "count"),
    [
        ({"inbound": ["tcp://*:9941"], "submit": ["tcp://*:9942"]}, {"inbound": 9942, "submit": 9941}, 2),
        ({"outbound": ["tcp://*:3999"]}, {"outbound": 4999, "inbound": 3999}, 1),
        ({"inbound": ["tcp://*:9941"]}, {"inbound": 9951, "submit": 9942}, 0),
    ],
)
def test_an_old_address_that_another_endpoint_is_to_have_is_named(
    old: dict[str, Any], wanted: dict[str, int], count: int
) -> None:
    new = {endpoint: [f"tcp://app01:{port}"] for endpoint, port in wanted.items()}
    found = addresses.clashes(old, new)
    assert len(found) == count
    assert all("belongs to " in clause and "until it is unused, and would become" in clause for clause in found)


def test_the_same_port_of_two_interfaces_is_not_a_clash() -> None:
    assert addresses.clashes({"inbound": ["tcp://10.0.0.1:9941"]}, {"submit": ["tcp://10.0.0.2:9941"]}) == []
    assert len(addresses.clashes({"inbound": ["tcp://10.0.0.1:9941"]}, {"submit": ["tcp://*:9941"]})) == 1


def test_an_address_can_be_retired_when_nobody_has_used_it_for_long_enough() -> None:
    old = {"inbound": ["tcp://*:9941", "tcp://*:9931"], "outbound": ["tcp://*:3999"], "submit": ["tcp://*:9942"]}
    status = {
        "addresses": [
            told("inbound", "tcp://*:9951", 900.0),
            told("inbound", "tcp://*:9941", 300.0),
            told("inbound", "tcp://*:9931", 299.9),
            told("outbound", "tcp://*:3999", 0.0, "10.0.0.9:41234"),
        ]
    }
    assert addresses.unused(old, status, 300) == {"inbound": ["tcp://*:9941"]}
    assert addresses.unused(old, status, 0) == {"inbound": ["tcp://*:9941", "tcp://*:9931"]}
    assert addresses.unused(old, {}, 0) == {}, "a relay that does not say who uses what keeps it all"
    assert addresses.use(old, status) == [
        "inbound tcp://*:9941, unused for 300 s",
        "inbound tcp://*:9931, unused for 300 s",
        "outbound tcp://*:3999, used by 10.0.0.9:41234",
        "submit tcp://*:9942, whose use the relay here does not report",
    ]


def test_one_of_several_old_addresses_is_taken_away_and_the_others_stay() -> None:
    old = {"inbound": ["tcp://*:9941", "tcp://10.0.0.1:9941"], "submit": ["tcp://*:9942"]}
    gone = {"inbound": ["tcp://*:9941"], "submit": ["tcp://*:9942"]}
    assert addresses.without(old, gone) == {"inbound": ["tcp://10.0.0.1:9941"]}


@pytest.mark.parametrize(
    ("address", "connect"),
    [
        ("tcp://*:9941", "tcp://app01:9941"),
        ("tcp://0.0.0.0:9941", "tcp://app01:9941"),
        ("tcp://[::]:9941", "tcp://app01:9941"),
        ("tcp://10.0.0.1:9941", "tcp://10.0.0.1:9941"),
        ("tcp://busgateway01:9941", "tcp://busgateway01:9941"),
    ],
)
def test_a_bound_address_is_probed_where_it_can_be_reached(address: str, connect: str) -> None:
    assert addresses.connectable(address, "tcp://app01") == connect


@pytest.mark.parametrize("faulty", ["x", {"inbound": "tcp://app01:9941"}, {"inbound": [5]}])
def test_faulty_settings_are_left_to_the_program_to_refuse(faulty: Any) -> None:
    assert addresses.merged(faulty, {}) == faulty
    assert addresses.spelled({}, faulty) == faulty
    assert addresses.missing(faulty, WANTED) in ({}, {"inbound": ["tcp://*:9941"]})
