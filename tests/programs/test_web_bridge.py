"""The bridge in the web process: its metrics beside a real bridge and broker, and on the page."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridged import Bridge
from bus import Bus
from harness import wait_until
from measured import DASHBOARD, RULES, promtool, value
from messages import numbered
from served import Web
from submitted import last_seq

PREFIX = "fedmsg_relay_bridge_"
FIGURES = {
    "forward": ("confirmed", "skipped", "set_aside", "gap", "jumped"),
    "back": ("taken", "own", "bad", "refused", "returned"),
}


@pytest.fixture
def web(bridge: Bridge, submit_bus: Bus) -> Iterator[Web]:
    """A web process beside a bridge in both directions, with a tap; that has not been started."""
    queues = {part: bridge.exchange.queue(part) for part in ("back", "tap")}
    bridge.configure(
        amqp_url=[bridge.exchange.url],
        exchange=bridge.exchange.name,
        back_queue=queues["back"],
        tap_queue=queues["tap"],
    )
    assert submit_bus.relay.running.alive()
    with contextlib.closing(Web(bridge.host)) as web:
        yield web.start()


def named(path: Path) -> set[str]:
    """The metrics of the bridge that the rules or the dashboard name."""
    if path == DASHBOARD:
        texts = [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    else:
        texts = [rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    return {name for text in texts for name in re.findall(rf"\b{PREFIX}\w+", text)}


def test_both_identities_and_the_comparator_are_metrics(submit_bus: Bus, bridge: Bridge, web: Web) -> None:
    assert PREFIX not in web.get("/metrics").body.decode(), "no bridge has run"
    bridge.start()
    messages = [*numbered(20), (b"org.example.bad", b"[]")]
    submit_bus.publisher.send_all(messages)
    submit_bus.listener.expect(messages)
    last = last_seq(submit_bus)
    bridge.wait_for(waiting=0, balanced=True)
    bridge.wait_for("back", own=last - 1, unaccounted=0)
    bridge.wait_for("tap", arrived=last - 1, missing=0)

    def found(name: str, **labels: str) -> float | None:
        return value(web, f"bridge_{name}", **labels)

    # The web process reads what the bridge has written last.
    wait_until(lambda: found("tap_messages_total", finding="arrived") == last - 1, "the web process knows it all")
    told: dict[str, Any] = bridge.status()
    for part, outcomes in FIGURES.items():
        for outcome in outcomes:
            assert found(f"{part}_messages_total", outcome=outcome) == told[part].get(outcome, 0), outcome
    assert found("forward_messages_total", outcome="set_aside") == 1
    assert found("back_delivered_total") == last - 1
    same = {"forward_waiting": 0, "forward_oldest_seconds": 0, "back_in_hand": 0, "tap_missing": 0}
    well = {"up": 1, "status_code": 0, "forward_balanced": 1, "unacknowledged_losses": 0}
    assert {name: found(name) for name in same | well} == same | well
    assert {part: found("working", part=part) for part in ("forward", "back", "tap")} == dict.fromkeys(
        ("forward", "back", "tap"), 1
    )
    text = web.get("/metrics").body
    assert promtool("check", "metrics", stdin=text) == ""
    types = set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))
    for path in (RULES, DASHBOARD):
        assert named(path), path
        assert named(path) <= types, path
    assert b"Bridge to RabbitMQ" in web.get("/").body


def test_a_loss_is_a_metric_and_what_waits_has_an_age(submit_bus: Bus, bridge: Bridge, web: Web) -> None:
    bridge.start()
    bridge.wait_for(waiting=0)
    assert bridge.stop() == 0
    submit_bus.publisher.send_all(numbered(3))
    submit_bus.listener.expect(numbered(3))

    def waiting() -> float | None:
        return value(web, "bridge_forward_waiting")

    wait_until(lambda: waiting() == 3, "the messages that wait are counted")
    wait_until(lambda: (value(web, "bridge_forward_oldest_seconds") or 0) > 0, "they have an age")
    keeps = (value(web, "bridge_forward_until_retention_seconds") or 0) / 86400
    assert 13 < keeps < 14
    assert value(web, "bridge_working", part="forward") == 0
    # A bridge that was taken away leaves its ledger, so that it can come back, and is no longer told of.
    (bridge.host.journal_file.parent / "bridge.cursor").unlink()
    assert PREFIX not in web.get("/metrics").body.decode()
    assert b"Bridge to RabbitMQ" not in web.get("/").body
