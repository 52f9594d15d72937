"""Decisions of the role that are taken during a run: what a relay needs, and whether it can be retired."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_host.service import demands
from fedmsg_relay_plan.retire import addresses_stay, relay_stays

BIND = {"inbound": ["tcp://*:9941"]}
WANTED = {"bind": BIND, "upstream": [["tcp://b:1", "tcp://b:2"]], "settings": {"limits": {"x": 1}}}
RUNS = {
    "endpoints": BIND,
    "upstream": {"submit": ["tcp://b:1"], "outbound": ["tcp://b:2"]},
    "settings": {"limits": {"x": 1}},
}


def found(status: dict[str, Any], **service: Any) -> dict[str, Any]:
    known = {"loaded": True, "started": 100, "properties": {"UnitFileState": "enabled"}, "written": 100, **service}
    written = known.pop("written")
    return {"service": known, "status": {"answer": status}, "written": written}


@pytest.mark.parametrize(
    ("looked", "replaced", "wanted"),
    [
        (found(RUNS), False, []),
        (found(RUNS), True, ["restart"]),
        (found(RUNS, written=101), False, ["restart"]),
        (found({**RUNS, "endpoints": {"inbound": ["tcp://*:9931"]}}), False, ["restart"]),
        (found({**RUNS, "upstream": None}), False, ["restart"]),
        (found({**RUNS, "upstream": None, "unchained_from": ["tcp://b:1"]}), False, ["restart"]),
        (found({**RUNS, "upstream": {"submit": ["tcp://c:1"], "outbound": ["tcp://b:2"]}}), False, ["restart"]),
        (found({}), False, ["restart"]),
        (found({**RUNS, "settings": {}}), False, ["reload"]),
        (found({**RUNS, "settings": {}}, properties={"UnitFileState": "disabled"}), False, ["reload", "start"]),
        (found(RUNS, properties={"UnitFileState": "disabled"}), False, ["start"]),
        (found({}, loaded=False, started=0, properties={}), True, ["start"]),
    ],
)
def test_a_relay_is_left_alone_or_reloaded_or_restarted(
    looked: dict[str, Any], replaced: bool, wanted: list[str]
) -> None:
    assert demands(looked, WANTED, replaced=replaced) == wanted


def test_a_relay_that_already_publishes_by_itself_is_not_restarted() -> None:
    released = found({**RUNS, "upstream": None, "unchained_from": ["tcp://b:1"]})
    assert demands(released, {**WANTED, "upstream": []}, replaced=False) == ["reload"]
    assert demands(found({**RUNS, "upstream": None}), {**WANTED, "upstream": []}, replaced=False) == []


def status(idle: float = 0, waiting: int = 0, **peers: list[str]) -> dict[str, Any]:
    return {"upstream": {"submit": ["x"]}, "messages": {"waiting": waiting}, "peers": {"idle_seconds": idle, **peers}}


@pytest.mark.parametrize(
    ("answer", "unreached", "limited", "reason"),
    [
        (status(300), [], False, ""),
        (status(300), [], True, "this run is limited, and another host may still use it"),
        (status(300), ["a", "b"], False, "hosts that this run did not reach may still use it: a, b"),
        ({}, [], False, "it is not chained yet"),
        ({**status(300), "upstream": None}, [], False, "it is not chained yet"),
        (
            status(listeners=["l:1"], publishers=["p:1", "p:2"], submitters=["s:1"]),
            [],
            False,
            "it is still used by publisher p:1, publisher p:2, submitter s:1, listener l:1",
        ),
        (status(300, waiting=2), [], False, "2 messages are not handed over yet"),
        (status(299.9), [], False, "it has been unused for 299 s, and is retired after 300 s"),
    ],
)
def test_a_relay_stays_while_somebody_may_use_it(
    answer: dict[str, Any], unreached: list[str], limited: bool, reason: str
) -> None:
    assert relay_stays(answer, 300, unreached, limited=limited) == reason


@pytest.mark.parametrize(
    ("endpoints", "unreached", "limited", "reason"),
    [
        (BIND, [], False, ""),
        (BIND, [], True, "this run is limited, and another host may still use them"),
        (BIND, ["a"], False, "hosts that this run did not reach may still use them: a"),
        ({}, [], False, "the relay has not been restarted with the new ones yet"),
    ],
)
def test_old_addresses_stay_while_somebody_may_use_them(
    endpoints: dict[str, Any], unreached: list[str], limited: bool, reason: str
) -> None:
    assert addresses_stay({"endpoints": endpoints}, BIND, unreached, limited=limited) == reason
