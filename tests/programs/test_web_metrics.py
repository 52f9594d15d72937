"""/metrics, /live and /ready beside a real relay, and what contrib/ has for Prometheus and Grafana."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bus import Bus
from harness import Host, wait_until
from measured import DASHBOARD, RULE_TESTS, RULES, promtool, samples, value
from messages import numbered
from served import Web

ELSEWHERE = {"fedmsg_relay_upstream_joined", "up"}
"""Metrics of a chained relay, and of Prometheus itself."""


@pytest.fixture(scope="module")
def web(module_bus: Bus) -> Iterator[Web]:
    with contextlib.closing(Web(module_bus.host)) as web:
        yield web.start()


def test_promtool_accepts_the_metrics(web: Web) -> None:
    assert promtool("check", "metrics", stdin=web.get("/metrics").body) == ""


def test_every_counter_of_the_status_is_a_metric(shared_bus: Bus, web: Web) -> None:
    shared_bus.publisher.send_all(numbered(50))
    shared_bus.publisher.send(b"org.example.test", b"not JSON")
    wait_until(lambda: (value(web, "messages_dropped_total", reason="body-not-json") or 0) >= 1, "it is counted")

    def differing() -> list[str]:
        status: dict[str, Any] = shared_bus.relay.status()
        found = samples(web)
        wanted = {
            f"messages_{name}_total": number
            for name, number in status["messages"].items()
            if name not in {"received", "waiting", "dropped", "balanced"}
        }
        wanted |= {f"connections_{name}_total": number for name, number in status["connections"].items()}
        wanted |= {"messages_waiting": status["messages"]["waiting"], "journal_last_seq": status["journal"]["last"]}
        return [
            name for name, number in wanted.items() if found.get((f"fedmsg_relay_{name}", frozenset())) != float(number)
        ]

    wait_until(lambda: not differing(), "metrics and status are equal")
    assert value(web, "messages_received_total", via="inbound") == shared_bus.relay.status()["messages"]["received"]
    reasons = {dict(labels)["reason"] for name, labels in samples(web) if name.endswith("messages_dropped_total")}
    assert reasons == set(shared_bus.relay.status()["dropped"])


def test_the_way_in_and_the_time_in_the_relay_are_metrics(submit_bus: Bus) -> None:
    with contextlib.closing(Web(submit_bus.host)) as web:
        web.start()
        earlier = submit_bus.relay.status()
        submit_bus.publisher.send_all(numbered(20))
        submit_bus.publisher.send(b"org.example.test", b"not JSON")
        submitter = submit_bus.sockets.submitter(submit_bus.host.submit)
        submitter.ask(*numbered(7, start=100))
        submitter.ask((b"org.example.test", b"not JSON"))

        def found(name: str, **labels: str) -> float:
            return value(web, name, **labels) or 0.0

        received, published = earlier["messages"]["received"], earlier["messages"]["published"] + 27
        wait_until(lambda: found("messages_received_total", via="inbound") == received + 21, "inbound is counted")
        wait_until(lambda: found("messages_received_total", via="submit") == 8, "submit is counted")
        wait_until(lambda: found("message_delay_seconds_count") == published, "all that were published are counted")
        steps = sorted(
            (float(dict(labels)["le"]), number)
            for (name, labels), number in samples(web).items()
            if name == "fedmsg_relay_message_delay_seconds_bucket"
        )
        assert steps[-1] == (float("inf"), published)
        assert [number for _, number in steps] == sorted(number for _, number in steps)
        assert 0 < found("message_delay_seconds_sum") < published * 3600


def test_peers_journal_and_process_are_metrics(shared_bus: Bus, web: Web) -> None:
    wait_until(lambda: value(web, "peers", endpoint="outbound") == 1.0, "the listener is counted")
    assert value(web, "up") == 1.0
    assert (value(web, "journal_size_bytes") or 0) > 0
    assert value(web, "counters_balanced") == 1.0
    assert value(web, "build_info", version=shared_bus.relay.status()["relay"]["version"]) == 1.0
    newest, oldest = value(web, "journal_newest_timestamp_seconds"), value(web, "journal_oldest_timestamp_seconds")
    assert newest
    assert oldest
    assert newest >= oldest > 1e9
    assert (value(web, "web_process_resident_memory_bytes") or 0) > 0


def test_live_and_ready(shared_bus: Bus, web: Web) -> None:
    assert shared_bus.relay.running.alive()
    assert web.get("/live").body == web.get("/ready").body == b"OK\n"


def test_without_a_relay_it_lives_is_not_ready_and_says_so(host: Host) -> None:
    with contextlib.closing(Web(host)) as web:
        assert web.start().get("/live").code == 200
        ready = web.get("/ready")
        assert (ready.code, b"does not answer" in ready.body) == (503, True)
        assert value(web, "up") == 0.0
        assert value(web, "status_code") == 2.0
        promtool("check", "metrics", stdin=web.get("/metrics").body)


def test_the_alert_rules_pass_their_tests() -> None:
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(RULE_TESTS))


def test_each_alert_fires_in_a_test_and_is_quiet_in_another() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    tests = [one for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for one in test["alert_rule_test"]]
    assert {one["alertname"] for one in tests if one.get("exp_alerts")} == alerts
    assert {one["alertname"] for one in tests if not one.get("exp_alerts")} == alerts
    tested = {
        one["alertname"] for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for one in test["alert_rule_test"]
    }
    assert set(alerts) == tested


def of_the_spool(host: Host) -> set[str]:
    """The metrics that the delivery of the spool writes."""
    host.spool.mkdir(exist_ok=True)
    file = host.directory / "spool.prom"
    ran = host.run("fedmsg-relay", "spool", "deliver", "--spool", host.spool, "--textfile", file)
    assert ran.code == 0, ran.stderr
    return set(re.findall(r"^# TYPE (\S+)", file.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_each_metric_that_is_named_is_one(shared_bus: Bus, web: Web, path: Any) -> None:
    assert shared_bus.relay.running.alive()
    if path == DASHBOARD:
        panels = json.loads(path.read_text())["panels"]
        texts = [target["expr"] for panel in panels for target in panel["targets"]]
    else:
        texts = [rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    named = {name for text in texts for name in re.findall(r"\bfedmsg_relay_\w+", text)}
    # test_web_bridge.py looks for those of a bridge.
    named = {name.removesuffix("_bucket") for name in named if not name.startswith("fedmsg_relay_bridge_")}
    types = set(re.findall(r"^# TYPE (\S+)", web.get("/metrics").body.decode(), re.MULTILINE))
    assert named
    assert named <= types | ELSEWHERE | of_the_spool(shared_bus.host)


def test_the_panels_of_the_dashboard_cover_each_place_once() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    covered = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(covered) == len({*covered}), "no panel is upon another"
    assert {*covered} == {(x, y) for x in range(24) for y in range(max(y for _, y in covered) + 1)}, "no gap"


def test_a_relay_of_another_version_is_said(host: Host) -> None:
    path = host.directory / "run" / "status.sock"
    with socket.socket(socket.AF_UNIX) as door, contextlib.closing(Web(host)) as web:
        door.bind(str(path))
        door.listen()

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    reader, _ = door.accept()
                    with reader:
                        reader.sendall(b'{"relay": {"version": "9"}}')

        threading.Thread(target=answer, daemon=True).start()
        web.start()
        assert value(web, "status_code") == 3.0
        assert b"another version" in web.get("/ready").body
        assert b"another version" in web.get("/").body
        door.shutdown(socket.SHUT_RDWR)
