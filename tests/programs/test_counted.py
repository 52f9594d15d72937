"""The counters of a running relay, and the faults that its status finds in them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import pytest

from bus import Bus
from fedmsg_relay.commands import judgement
from fedmsg_relay.daemon.accounting import Counts
from fedmsg_relay.daemon.status import Status
from harness import wait_until
from messages import envelope, numbered

TERMS = [field.name for field in fields(Counts)]


@pytest.fixture
def sound(bus: Bus) -> dict[str, Any]:
    """The status of a relay that is well."""
    found = bus.relay.status()
    assert judgement.judge(cast("Status", found))[0] == 0
    return found


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"messages": {"balanced": False}}, 2, "the counters do not add up"),
        ({"relay": {"since_last_turn": 60.0}}, 2, "stuck for 60 s"),
        ({"journal": {"fault": "disk is full"}}, 2, "disk is full"),
        ({"journal": {"notices": ["set aside as x"]}}, 1, "set aside as x"),
        ({"laggards": [{"address": "10.0.0.7:1234", "lost": 17}]}, 1, "10.0.0.7:1234 (lost about 17)"),
        ({"messages": {"balanced": False}, "journal": {"notices": ["x"]}}, 2, "the counters do not add up"),
    ],
)
def test_faults_show_in_the_status(sound: dict[str, Any], change: dict[str, Any], code: int, words: str) -> None:
    for part, facts in change.items():
        sound[part] = {**sound[part], **facts} if isinstance(facts, dict) else facts
    found, line = judgement.judge(cast("Status", sound))
    assert found == code
    assert line.startswith(["OK", "WARNING", "CRITICAL"][code] + " - ")
    assert words in line


def test_everything_that_comes_is_counted_once_as_what_it_was(submit_bus: Bus) -> None:
    """One of each kind, and the numbers that must come of it."""
    before = submit_bus.relay.settled()
    submit_bus.publisher.send_all(numbered(10))
    submit_bus.listener.expect(numbered(10))
    for bad in ([b"one frame"], [b"t", b"no json"], [b"t", b"{}", b"{}"]):
        submit_bus.publisher.send(*bad)
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    assert client.ask(*numbered(5, start=10))["duplicates"] == 0
    assert client.ask(*numbered(6, start=8))["duplicates"] == 6
    assert client.ask(*numbered(3, start=14))["duplicates"] == 1
    assert client.ask(*numbered(2, start=20), (b"t", b"no json"))["reason"] == "body-not-json"
    client.send_frames(b"FMR9")
    assert client.answer()["reason"] == "bad-version"
    last = envelope("org.example.test.last", 1)
    submit_bus.publisher.send(*last)
    submit_bus.listener.expect([*numbered(7, start=10), last])
    # It is heard a moment before it is counted.
    wait_until(lambda: submit_bus.relay.messages()["received"] - before["received"] >= 32, "all of it is counted")
    after = submit_bus.relay.settled()
    changed = {name: after[name] - before[name] for name in TERMS if after[name] != before[name]}
    assert changed == {
        "received": 11 + 3 + 5 + 6 + 3 + 3 + 1,
        "journaled": 11 + 5 + 2,
        "quarantined": 3,
        "refused": 3 + 1,
        "duplicates": 6 + 1,
        "published": 11 + 5 + 2,
    }
    dropped = submit_bus.relay.status()["dropped"]
    assert {reason: count for reason, count in dropped.items() if count} == {
        "frame-count": 2,
        "body-not-json": 1 + 3,
        "bad-version": 1,
    }
    assert submit_bus.relay.stop() == 0  # its last line is held against the identities as well
