"""script/bench: every case measures what it says, and a loss would show. No test asks how fast anything is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks import bridge, report, trust, web
from benchmarks.contenders import OURS, OURS_OFF, OURS_TMPFS, PROXY, STOCK
from benchmarks.load import decode
from benchmarks.rivals import keepers
from benchmarks.work import Verdict, Work, judge

ROOT = Path(__file__).parents[2]
PERFECT = str(Verdict(heard=1))
BENCH_SECONDS = 500
"""A quick run takes half a minute on a quiet machine, and several times that on a busy one."""

pytestmark = pytest.mark.timeout(BENCH_SECONDS + 60)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what a quick run of all cases left: its output, results and plots."""
    directory = tmp_path_factory.mktemp("bench")
    files = ["--json", str(directory / "results.json"), "--plots", str(directory / "plots")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *files],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'script'}:{ROOT / 'tests' / 'support'}"},
        capture_output=True,
        text=True,
        timeout=BENCH_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (directory / "output").write_text(done.stdout)
    return directory


@pytest.fixture(scope="module")
def results(ran: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ran / "results.json").read_text())
    return loaded


def contenders(rows: list[dict[str, Any]]) -> set[str]:
    return {row["contender"] for row in rows}


def test_every_case_is_measured_with_every_contender(results: dict[str, Any]) -> None:
    cases = results["cases"]
    absent = {OURS_TMPFS} if any(note.startswith(OURS_TMPFS) for note in results["notes"]) else set()
    assert contenders(cases["throughput"]) == {OURS, OURS_OFF, STOCK, PROXY, "load alone"}
    assert contenders(cases["latency"]) == {OURS, OURS_TMPFS, STOCK, PROXY} - absent
    assert contenders(cases["receipts"]) == {OURS, OURS_TMPFS} - absent
    assert contenders(cases["memory"]) == {OURS, STOCK, PROXY}
    assert contenders(cases["loss"]) == {OURS, STOCK}
    assert {(row["relay"], row["of"]) for row in cases["trust"] if "relay" in row} == {
        (trust.ENFORCE, trust.SIGNED),
        (trust.OFF, trust.SIGNED),
        (trust.OFF, trust.UNSIGNED),
        (trust.VALIDATE, trust.SIGNED),
    }
    signed = {trust.SIGNED_LOGGER, trust.LOGGER, trust.STOCK_SIGNED_LOGGER, trust.STOCK_LOGGER}
    assert {row["script"] for row in cases["trust"] if "script" in row} == signed
    scripts = {row["script"] for row in cases["cold"] if "script" in row}
    assert {"fedmsg-logger, ours", "fedmsg-logger, stock", "fedmsg-spool (sh)", "sh, the same programs"} <= scripts
    assert {row["lines_of"] for row in cases["cold"] if "lines_of" in row} == {OURS, STOCK}


def test_readers_and_answers_are_measured(results: dict[str, Any]) -> None:
    rows = results["cases"]["web"]
    floods = {row["flood"]: row for row in rows if "flood" in row}
    assert set(floods) == {web.QUIET, web.FLOODED}
    assert all(answers > 0 for answers in floods[web.FLOODED]["answers"])
    assert {verdict for row in floods.values() for verdict in row["verdicts"]} == {PERFECT}
    assert {row["request"] for row in rows if "request" in row} == {web.WINDOW, web.LAST, web.BY_ID, web.SEARCH}


def test_the_bridge_is_measured_and_nothing_is_lost(results: dict[str, Any]) -> None:
    rows, notes = results["cases"]["bridge"], results["notes"]
    assert rows or any("RabbitMQ" in note for note in notes)
    if not rows:
        return
    assert {row["way"] for row in rows if "way" in row} == {bridge.FORWARD, bridge.BACK, bridge.ALONE}
    assert [len(row["ms"]) for row in rows if "lag" in row] == [100]
    assert {row["beside"] for row in rows if "beside" in row} == {bridge.WITHOUT, bridge.BESIDE}
    verdicts = {verdict for row in rows for verdict in row["verdicts"]}
    assert verdicts == {"all there, in order", "all there", "all journaled", PERFECT}


def test_a_broker_that_is_not_there_is_named(results: dict[str, Any]) -> None:
    scripts = " ".join(row["script"] for row in results["cases"]["cold"] if "script" in row)
    for script, package in (("mosquitto_pub", "mosquitto"), ("NATS", "nats-server")):
        assert script in scripts or any(package in note for note in results["notes"])


def test_a_rival_that_is_not_there_is_named(results: dict[str, Any]) -> None:
    rows, notes = results["cases"]["rivals"], results["notes"]
    kinds = [{row[kind] for row in rows if kind in row} for kind in ("of", "script", "keeper")]
    assert OURS in kinds[0]
    assert kinds[0] == kinds[1] == kinds[2]
    needed = {keepers.REDIS: "redis-server", keepers.JETSTREAM: "nats-server", keepers.JETSTREAM_ALWAYS: "nats-server"}
    for name, program in (needed | {keepers.CLASSIC: "RabbitMQ", keepers.QUORUM: "RabbitMQ"}).items():
        assert name in kinds[0] or any(name in note or program in note for note in notes)


def test_a_server_that_gave_receipts_has_the_messages(results: dict[str, Any]) -> None:
    rows = results["cases"]["rivals"]
    for row in rows:
        if "of" in row:
            assert row["verdicts"] == [PERFECT if row["of"] == OURS else "all kept"], row
    assert {row["lost"] for row in rows if "script" in row} == {0}


def test_all_that_ours_was_given_came_out(results: dict[str, Any]) -> None:
    cases = results["cases"]
    for case in ("throughput", "latency", "receipts", "memory", "trust"):
        for row in cases[case]:
            assert set(row.get("verdicts", ())) <= {PERFECT} or row["contender"] == STOCK, row
    assert {row["lost"] for row in cases["trust"] if "script" in row} == {0}
    assert [row["lost"] for row in cases["cold"] if OURS in row.get("script", "") or row.get("lines_of") == OURS] == [
        0,
        0,
    ]
    assert [row["verdict"] for row in cases["loss"] if row["contender"] == OURS] == [PERFECT]


def test_the_tables_have_a_place_in_the_docs(ran: Path) -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    printed = re.findall(r"^== (\w+)$", (ran / "output").read_text(), re.MULTILINE)
    cases = {"throughput", "latency", "cold", "receipts", "memory", "loss", "trust", "web", "bridge", "rivals"}
    assert {"run", "goals", "notes", *cases} == set(printed)
    for name in printed:
        assert f"<!-- {name} -->\n" in page
        assert f"<!-- end of {name} -->" in page


def test_a_run_of_some_cases_replaces_their_tables_alone(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "benchmarks.md"
    places = [f"<!-- {name} -->\nbefore\n<!-- end of {name} -->\n" for name in ("run", "rivals", "receipts", "notes")]
    page.write_text("".join(places))
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "DOCS", tmp_path)
    report.update_docs(results | {"cases": {"rivals": results["cases"]["rivals"]}, "notes": ["a note"]})
    run, rivals, *rest = re.split(r"(?<=<!-- end of run -->\n)|(?<=<!-- end of rivals -->\n)", page.read_text())
    assert [run, *rest] == [places[0], places[2] + places[3]]
    assert f"date: {results['run']['date']}" in rivals
    assert "Note: a note." in rivals
    assert "before\n" not in rivals


def test_the_plots_are_svg_and_shown_in_the_docs(ran: Path) -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    plots = sorted((ran / "plots").iterdir())
    assert [plot.name for plot in plots] == [
        "latency.svg",
        "memory-frozen.svg",
        "memory-messages.svg",
        "throughput-300.svg",
    ]
    for plot in plots:
        assert ElementTree.fromstring(plot.read_text()).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 -- it is ours
        assert f"(benchmarks/{plot.name})" in page


@pytest.mark.parametrize("size", [300, 1800])
def test_bodies_have_their_size_and_differ(size: int) -> None:
    work = Work(50, size, publishers=2)
    bodies = work.bodies(0) + work.bodies(1) + Work(50, size).bodies(0)
    assert {len(body) for body in bodies} == {size}
    assert len({json.loads(body)["msg_id"] for body in bodies}) == 150
    stream = work.stream(1)
    assert [frames[1] for frames in decode(stream)] == work.bodies(1)
    assert len(stream) == 50 * work.length


def test_the_verdict_names_lost_repeated_and_altered_messages() -> None:
    work = Work(10, 300, publishers=2)
    first, second = work.bodies(0), work.bodies(1)
    mixed = [body for pair in zip(first, second, strict=True) for body in pair]
    assert judge(work, mixed) == Verdict(heard=20)
    assert judge(work, first) == Verdict(heard=10, lost=10)
    assert judge(work, [*mixed, first[3]]) == Verdict(heard=20, repeated=1)
    assert judge(work, [first[1], first[0], *first[2:], *second]) == Verdict(heard=20, disordered=1)
    assert judge(work, [*mixed[1:], first[0].replace(b'"i": 1', b'"i":  1')]) == Verdict(heard=19, lost=1, altered=1)
