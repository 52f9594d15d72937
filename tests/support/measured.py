"""The metrics of the web process, and the files of contrib/ for Prometheus and Grafana."""

from __future__ import annotations

import subprocess

from prometheus_client.parser import text_string_to_metric_families

from harness import PATIENCE, REPOSITORY
from served import Web

RULES = REPOSITORY / "contrib/prometheus/fedmsg-relay.yml"
RULE_TESTS = REPOSITORY / "contrib/prometheus/fedmsg-relay-test.yml"
DASHBOARD = REPOSITORY / "contrib/grafana/fedmsg-relay.json"


def samples(web: Web) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = web.get("/metrics").body.decode()
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(web: Web, name: str, **labels: str) -> float | None:
    return samples(web).get((f"fedmsg_relay_{name}", frozenset(labels.items())))


def promtool(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, timeout=PATIENCE, check=False, cwd=RULES.parent
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()
