"""Sentences of the role that refuse a config or signatures, and those that end a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fedmsg_relay_plan import config, signing
from fedmsg_relay_plan.retire import retirement
from fedmsg_relay_plan.standing import outcome

INVENTORY = {"relay_inbound": ["tcp://a:1"], "relay_outbound": ["tcp://a:2"], "relay_submit": ["tcp://a:3"]}


def checked(**more: Any) -> dict[str, Any]:
    return {"program": "/p", "rc": 0, "stdout": json.dumps(INVENTORY), "stderr": "", "named": {}, **more}


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (checked(), ""),
        (checked(program="", stdout=""), ""),
        (checked(named=INVENTORY), ""),
        (checked(named={**INVENTORY, "relay_submit": ["tcp://b:3"]}), ""),
        (
            checked(rc=2, stderr="bad"),
            "/p refuses the merged config or the journal of app01, so nothing was written and nothing is restarted: ",
        ),
        (
            checked(named={"relay_outbound": ["tcp://b:2"]}),
            "The config of app01 names tcp://b:2 as relay_outbound, and the inventory would make it tcp://a:2. ",
        ),
        (
            checked(stdout=json.dumps({**INVENTORY, "relay_submit": ["tcp://b:3", "tcp://c:3"]})),
            "The config of app01 as merged names tcp://b:3 tcp://c:3 as relay_submit. The inventory says tcp://a:3. A "
            "file that is read after /etc/x/relay.py overrides it: remove relay_submit from that file. Nothing was "
            "written and nothing is restarted.",
        ),
    ],
)
def test_a_config_is_refused_before_it_is_written(found: dict[str, Any], fault: str) -> None:
    said = config.fault_of(found, "app01", INVENTORY, "/etc/x/relay.py")
    assert said.startswith(fault)
    assert bool(said) == bool(fault)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({}, ""),
        ({"faults": ["One.", "Two."]}, "One. Two. Nothing was changed."),
        ({"policy": {"x": []}, "environment": "stg"}, "The routing policy has whole topics, and app01 does not know"),
        ({"policy": {"x": []}, "environment": "stg", "topic_prefix": "org"}, ""),
        ({"settings": {"trust": {"signatures": "warn"}}}, "fedmsg_relay_settings has trust.signatures"),
        ({"relay": True, "signatures": "warn"}, "fedmsg_relay_trust is warn on app01, which gets neither a CA nor"),
        ({"relay": True, "signatures": "warn", "has_keys": True, "unsigned": ["b"]}, ""),
        (
            {"relay": True, "signatures": "enforce", "has_keys": True, "unsigned": ["b", "c"]},
            "fedmsg_relay_trust is enforce on app01, which would refuse all messages of b, c: set fedmsg_relay_sign",
        ),
        ({"signatures": "enforce", "unsigned": ["b"]}, ""),
    ],
)
def test_signatures_that_cannot_work_are_refused(more: dict[str, Any], fault: str) -> None:
    said = signing.fault_of({"host": "app01", **more})
    assert said.startswith(fault)
    assert bool(said) == bool(fault)
    assert said == "" or said.endswith(" Nothing was changed.")


def test_a_run_ends_with_where_the_relays_are() -> None:
    assert outcome(["a", "b"], {"c": {}}, [], []) == "Relays: a, b."
    achieved = {"a": {"lingering": "inbound x"}, "b": {"stays": "it is used"}, "c": {"stays": ""}}
    assert outcome(["a"], achieved, ["d"], ["e"]) == (
        "Relays: a; b hands over, and is retired by a run that finds it unused. "
        "Also bound until a run finds it unused: a inbound x. "
        "Left out (no answer, or failed above): d; run again when that is repaired. "
        "Left alone (fedmsg_relay_gone): e."
    )


def test_unused_addresses_are_retired_and_the_others_linger() -> None:
    bind, old = {"inbound": ["tcp://*:1"]}, {"inbound": ["tcp://*:8", "tcp://*:9"]}
    quiet = {"endpoint": "inbound", "address": "tcp://*:8", "idle_seconds": 300, "peers": []}
    status = {"endpoints": bind, "addresses": [quiet, {**quiet, "address": "tcp://*:9", "peers": ["x:1"]}]}
    assert retirement(status, old, bind, 300, [], limited=False) == {
        "retired": {"inbound": ["tcp://*:8"]},
        "lingering": "inbound tcp://*:9",
        "old_stay": "The relay here is bound to old addresses as well: inbound tcp://*:9, used by x:1. Each is retired "
        "when it has been unused for 300 s.",
    }
    limited = retirement(status, old, bind, 300, [], limited=True)
    assert (limited["retired"], limited["lingering"]) == ({}, "inbound tcp://*:8, inbound tcp://*:9")
    assert "They stay for now: this run is limited, and another host may still use them." in limited["old_stay"]
