"""playbooks/status.yml says how a host is, and how it differs from the inventory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fedmsg_relay_plan.condition import Found, faults, of, summary

from fleet import Fleet, Machine, fleet, looked, relay, scripts
from moves import DEPLOYED

NOW = 1_795_445_709.0
NAMED = [["tcp://app01:9941"], ["tcp://app01:3999"], ["tcp://app01:9942"]]
RUNS = {"loaded": True, "started": 100}
STOPPED = {"loaded": True, "started": 0}
NONE = {"loaded": False, "started": 0}
UPSTREAM = {"using": None, "submit": ["tcp://bus01:9942"], "state": "joined"}
PEERS = {"publishers": ["p:1"], "submitters": [], "listeners": ["l:1"], "idle_seconds": 7.9}


BRIDGED = {"ready": True, "rc": 0, "summary": "3 sent"}
UNBRIDGED = {"ready": False, "rc": 2, "summary": "away"}
WANTED = {"wanted": True, "here": True, "differs": False}


def found(status: dict[str, Any] | None = None, service: dict[str, Any] = RUNS, rc: int = 0, **more: Any) -> Found:
    answer = {"summary": "OK - fine", **(status or {})} if service is RUNS else {}
    named = dict(zip(("relay_inbound", "relay_outbound", "relay_submit"), NAMED, strict=True))
    known: dict[str, Any] = {
        "group": "fedmsg_relay",
        "relays": ["app01"],
        "here": True,
        "looked": {
            "service": service,
            "status": {"answer": answer, "rc": rc, "stderr": "no answer"},
            "bridge": BRIDGED,
        },
        "chained": False,
        "signatures": "off",
        "trust": "signatures warn",
        "old": {},
        "program": True,
        "endpoints": {"stdout": json.dumps(named), "stderr": ""},
        "inventory": NAMED,
        "unreachable": "",
        "spooled": "",
        "patience": 300,
        "web_missing": False,
        "bridge": {"wanted": False, "here": False, "differs": False},
        "behind": "",
    }
    return Found(**{**known, **more})


def bridged(seen: dict[str, Any], bridge: dict[str, bool]) -> Found:
    known = found()
    return replace(known, looked={**known.looked, "bridge": seen}, bridge=bridge)


def spooled(seconds: int) -> str:
    return json.dumps({"waiting": [f"{int((NOW - seconds) * 1e9):020}-1-1.msg", "odd"]})


@pytest.mark.parametrize(
    ("known", "fault"),
    [
        (found(), ""),
        (found(relays=[], here=False, service=NONE), "the group fedmsg_relay has no host"),
        (found(service=NONE), "a relay should run here and does not"),
        (found(rc=2), "the relay is not well: OK - fine"),
        (found(rc=1), ""),
        (found({"upstream": UPSTREAM}), "the relay should run by itself but is chained: run playbooks/relay.yml"),
        (found({"upstream": UPSTREAM}, chained=True), ""),
        (found({"upstream": UPSTREAM}, here=False), ""),
        (
            found({"upstream": {**UPSTREAM, "state": "away"}}, here=False),
            "the relay here cannot hand over: its upstream",
        ),
        (found(here=False), "a relay runs here by itself, outside the group fedmsg_relay: run playbooks/relay.yml"),
        (found(here=False, service=STOPPED), "a relay is installed here, outside the group fedmsg_relay"),
        (
            found(endpoints={"stdout": "", "stderr": "gone"}),
            "the program is not installed, or its config is faulty: gone",
        ),
        (found(endpoints={"stderr": ""}, program=False, here=False, service=NONE), ""),
        (
            found(inventory=[["tcp://a:1", "tcp://b:1"], *NAMED[1:]]),
            "the config as merged names tcp://app01:9941, tcp://app01:3999, tcp://app01:9942, the inventory says "
            "tcp://a:1 tcp://b:1, tcp://app01:3999, tcp://app01:9942",
        ),
        (found(signatures="warn"), "the relay treats signatures as unknown, the inventory says warn"),
        (found({"trust": {"signatures": "warn"}}, signatures="warn"), ""),
        (found(web_missing=True), "the web process should run here and does not"),
        (bridged(BRIDGED, WANTED), ""),
        (bridged(UNBRIDGED, {**WANTED, "here": False}), "the bridge should run here and does not: `journalctl -u fed"),
        (bridged({**BRIDGED, "rc": 1}, WANTED), ""),
        (bridged({**BRIDGED, "rc": 2}, WANTED), "the bridge is not well: 3 sent"),
        (
            bridged(BRIDGED, {**WANTED, "wanted": False}),
            "a bridge is here that the inventory does not want (3 sent): run playbooks/relay.yml",
        ),
        (bridged(BRIDGED, {**WANTED, "differs": True}), "the settings of the bridge differ from the inventory: run"),
        (found(unreachable="submit x"), "this host does not reach submit x"),
        (
            found(spooled=spooled(301)),
            "1 messages wait in the spool, the oldest for 301 s: `journalctl -u fedmsg-relay-",
        ),
        (found(spooled=spooled(299)), ""),
        (found(behind="/etc/fedmsg.d/relay.py"), "/etc/fedmsg.d/relay.py differs from the inventory"),
    ],
)
def test_a_difference_from_the_inventory_is_a_fault(known: Found, fault: str) -> None:
    told = faults(known, NOW)
    assert len(told) == bool(fault), told
    assert not fault or told[0].startswith(fault)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (found(), "OK - fine; config names tcp://app01:9941"),
        (found(service=NONE, endpoints={}), "no relay runs here; config names something that no program here can read"),
        (
            found({"upstream": UPSTREAM, "peers": PEERS}),
            "OK - fine; hands over to tcp://bus01:9942 (joined); still used by p:1, l:1; config names tcp://app01:9941",
        ),
        (
            found({"upstream": UPSTREAM, "peers": {"idle_seconds": 7.9}}),
            "OK - fine; hands over to tcp://bus01:9942 (joined); unused for 7 s; config names tcp://app01:9941",
        ),
        (
            found(old={"inbound": ["tcp://*:9931"]}),
            "OK - fine; bound to old addresses as well: inbound tcp://*:9931, whose use the relay here does not "
            "report; config names tcp://app01:9941",
        ),
        (found(spooled=spooled(1)), "OK - fine; 1 wait in the spool; config names tcp://app01:9941"),
        (bridged(BRIDGED, WANTED), "OK - fine; bridge: 3 sent; config names tcp://app01:9941"),
        (found(signatures="warn"), "OK - fine; signatures warn; config names tcp://app01:9941"),
    ],
)
def test_a_host_is_told_in_a_line(known: Found, told: str) -> None:
    assert summary(known) == told


SAYS = {
    "relay_inbound": ["tcp://app01:9941"],
    "relay_outbound": ["tcp://app01:3999"],
    "relay_submit": ["tcp://app01:1"],
}
ASKED: dict[str, Any] = {
    "status": {"trust": {"signatures": "warn"}},
    "endpoints": {"stdout": json.dumps(SAYS), "stderr": ""},
    "inventory": SAYS,
    "unreachable": "",
    "spooled": spooled(1),
    "patience": 300,
}


def of_host(known: Fleet, name: str, **more: Any) -> dict[str, Any]:
    return of(known.tells(name), name, known.shared(), {**ASKED, **more})


def test_ansible_gets_both_of_a_host_that_is_well() -> None:
    summaries = {"app01": "the relay does not answer", "pkgs01": "no relay runs here"}
    for name, told in summaries.items():
        well = of_host(DEPLOYED, name, spooled="")
        assert well == {"summary": f"{told}; config names tcp://app01:9941", "faults": []}


@pytest.mark.parametrize(
    ("machine", "variables", "fault"),
    [
        (relay("app01", "bus01"), {}, "/etc/fedmsg.d/relay.py differs from the inventory"),
        (relay("app01"), {"signatures": "warn"}, "the relay treats signatures as unknown, the inventory says warn"),
        (relay("app01"), {"web": True}, "the web process should run here and does not"),
        (relay("app01", web=True), {"web": True}, ""),
        (relay("app01"), {"bridge": True}, "the bridge should run here and does not"),
        (relay("app01", bridge=True), {}, "a bridge is here that the inventory does not want"),
        (relay("app01", bridge=True, bridge_differs=True), {"bridge": True}, "the settings of the bridge differ"),
        (relay("app01", "app01", upstream=("bus01",)), {"settings": {"upstream": {}}}, ""),
    ],
)
def test_a_host_is_held_against_the_plan(machine: Machine, variables: dict[str, Any], fault: str) -> None:
    known = fleet(machine, group="app01", variables={"app01": variables})
    if machine.upstream:
        machine.more = {"status": {**looked(machine)["status"], "answer": {"upstream": UPSTREAM, "peers": PEERS}}}
    told = of_host(known, "app01", spooled="")["faults"]
    assert [one[: len(fault)] for one in told] == ([fault] if fault else [])


def test_old_addresses_and_figures_of_trust_are_told() -> None:
    machine = relay("app01", ports={"inbound": "9931", "outbound": "3999", "submit": "9942"})
    known = fleet(machine, group="app01", variables={"app01": {"signatures": "warn"}})
    told = of_host(known, "app01")["summary"]
    assert "bound to old addresses as well: inbound tcp://*:9931" in told
    assert "1 wait in the spool; signatures warn, no message distrusted" in told


def test_a_host_without_the_program_has_no_spool() -> None:
    known = fleet(relay("app01"), scripts("pkgs01", "app01", commands=False), group="app01")
    assert "spool" not in of_host(known, "pkgs01")["summary"]
