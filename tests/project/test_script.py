"""The two commands of the README: what script/demo shows and leaves, and what script/test calls a success."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import environment
import fresh
import parts
import pytest
import run_tests
import yaml
from environment import SetupError

from harness import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]


class Demo:
    """script/demo without its set-up, in a temporary directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._output = directory.parent / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, ROOT / "script" / "run_demo.py"],
                env=os.environ | {"TMPDIR": str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def interrupt(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def left_behind(self) -> list[str]:
        """Its files, and the processes that run in its directory."""
        files = [str(path) for path in self.directory.rglob("*")]
        processes = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                directory = str((process / "cwd").readlink())
            except OSError:
                continue  # ended, or not ours to look at
            if directory.startswith(str(self.directory)):
                processes.append(process.name)
        return files + processes


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    (tmp_path / "demo").mkdir()
    demo = Demo(tmp_path / "demo")
    yield demo
    demo.close()


def test_the_demo_shows_messages_arriving_and_leaves_nothing_behind(demo: Demo) -> None:
    code = demo.wait()
    output = demo.output()
    assert code == 0, output
    expected = [
        "1. A relay",
        "listener | org.fedoraproject.dev.git.receive {",
        "listener | org.fedoraproject.dev.git.branch {",
        'listener | demo.bytes { "z" : 1,\t"a":[ 1e5,  1E+2, 0.10, -0 ] }  \n',
        'listener | demo.bytes {"twice":1,"twice":2}\n',
        r'listener | demo.bytes {"caf\u00e9":"\ud83d\ude80 \/ \u0041"}' + "\n",
        "ok: all 4 bodies came out exactly as they went in",
        'listener | org.fedoraproject.dev.demo.signed {"certificate":"',
        ", signed by shell-demo.example.org: valid\n",
        'answer   | {"status": "refused", "reason": "signature-invalid", ',
        "logger   | fedmsg-logger: refused by the relay: certificate-revoked (claims shell-demo.example.org; ",
        "status   | OK - ",
        "status   | signed by    shell-demo.example.org: ",
        "OK: everything arrived",
    ]
    places = [output.find(text) for text in expected]
    assert -1 not in places, output
    assert places == sorted(places)
    assert "PRIVATE KEY" not in output
    assert demo.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_demo_that_is_interrupted_leaves_nothing_behind(demo: Demo, number: signal.Signals) -> None:
    wait_until(lambda: "2. A listener" in demo.output(), "the demo has started its relay", PATIENCE)
    demo.interrupt(number)
    assert demo.wait() == 128 + number
    assert "Traceback" not in demo.output()
    assert demo.left_behind() == []


@pytest.mark.parametrize("script", ["pin_requirements.py", "build_collection.py"])
@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("-h", 0), ("--no-such-option", 64)])
def test_an_option_of_a_script_makes_nothing(tmp_path: Path, script: str, option: str, code: int) -> None:
    pins = {path: path.read_bytes() for path in (ROOT / "requirements").iterdir()}
    done = subprocess.run(
        [sys.executable, ROOT / "script" / script, option],
        cwd=tmp_path,
        env={**os.environ, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert f"script/{'pin' if script.startswith('pin') else 'collection'}" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in (ROOT / "requirements").iterdir()} == pins


MATRIX = (
    "0.7 INFO     [move > discovery] scenario test matrix: converge, idempotence, verify, verify verify_moved.yml\n"
)
STEP = "9.1 INFO     [move > {0}] Executing\n9.2 INFO     [move > {0}] Executed: Successful\n"
COMPLETE = MATRIX + "".join(STEP.format(step) for step in ("converge", "idempotence", "verify", "verify"))


def test_a_scenario_all_of_whose_steps_ran_has_passed() -> None:
    assert parts.judge_scenario(COMPLETE).passed


@pytest.mark.parametrize(
    "log",
    [
        "",
        COMPLETE.replace("Executing", "Missing playbook (/x/verify.yml). Skipping", 1),
        COMPLETE.removesuffix(STEP.format("verify")),
        MATRIX.replace("converge, ", "") + "".join(STEP.format(step) for step in ("idempotence", "verify", "verify")),
    ],
    ids=["it did not run", "a playbook is missing", "a step did not run", "nothing is deployed"],
)
def test_a_scenario_that_left_something_out_has_failed(log: str) -> None:
    assert not parts.judge_scenario(log).passed


def test_a_failed_scenario_shows_its_failed_task_before_the_end_of_its_log() -> None:
    ok = [f"TASK [Step {n}] ***\nok: [app01]" for n in range(100)]
    failed = ["TASK [Count the messages] ***", "[ERROR]: Task failed", "fatal: [pkgs01]: FAILED! =>", "    lost: 1"]
    shown = run_tests.what_tells("\n".join(["fatal: [app01]: rescued", *ok, *failed, *ok]))
    assert shown[: len(failed)] == failed
    assert shown[-1] == "ok: [app01]"
    assert len(shown) <= 2 * run_tests.TAIL_LINES


@pytest.mark.parametrize(
    ("summary", "passed", "passed_in_ci"),
    [
        ("=== 412 passed in 80.01s ===", True, True),
        ("=== 411 passed, 1 skipped in 80.01s ===", True, False),
        ("=== 411 passed, 1 xfailed in 80.01s ===", True, False),
        ("=== 3 skipped in 0.01s ===", False, False),
        ("=== no tests ran in 0.01s ===", False, False),
    ],
)
def test_a_skipped_test_is_reported_and_fails_in_ci(
    summary: str, passed: bool, passed_in_ci: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "IN_CI", False)
    assert parts.judge_pytest(f"...\n{summary}\n").passed == passed
    assert summary.strip("= ") == parts.judge_pytest(summary).note
    monkeypatch.setattr(parts, "IN_CI", True)
    assert parts.judge_pytest(summary).passed == passed_in_ci


FRESH = "".join(f"== bookworm: {step}\n...\n{fresh.DONE} {step} (12 s)\n" for step in fresh.STEPS)


def test_a_fresh_machine_where_every_step_was_done_has_passed() -> None:
    assert parts.judge_fresh(FRESH) == parts.Verdict(
        passed=True, note="make it (12 s), script/demo as an ordinary user (12 s), script/test unit as root (12 s)"
    )


@pytest.mark.parametrize("step", fresh.STEPS)
def test_a_fresh_machine_where_a_step_was_not_done_has_failed(step: str) -> None:
    assert not parts.judge_fresh(FRESH.replace(f"{fresh.DONE} {step}", "")).passed


def test_a_user_that_cannot_make_a_fresh_machine_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="run `sudo script/test fresh`"):
        fresh.can_be_made(tmp_path / "log")


def part(name: str, command: str) -> parts.Part:
    return parts.Part(name, ["sh", "-c", command], 30, parts.content)


def test_each_part_is_run_and_a_failure_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_packages(*_: object) -> None:
        raise SetupError("there is no apt-get")

    for module in (parts, run_tests):
        monkeypatch.setattr(module, "LOGS", tmp_path)
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "make_venv", lambda _: None)
    monkeypatch.setattr(parts, "lint_parts", lambda: [part("a linter", "true"), part("another", "echo found; false")])
    monkeypatch.setattr(run_tests, "prepare_unit", no_packages)
    monkeypatch.setattr(fresh, "can_be_made", lambda _: None)
    monkeypatch.setattr(parts, "fresh_parts", lambda _: [part("fresh", "true")])
    monkeypatch.setattr(run_tests, "start", lambda _: None)
    monkeypatch.setattr(parts, "molecule_parts", lambda _: [part("scenario", "true")])
    passed = {result.name: result.verdict.passed for result in run_tests.run_all("all", [])}
    unprepared = "set up stock fedmsg and packages"
    assert passed == {"a linter": True, "another": False, unprepared: False, "fresh": True, "scenario": True}
    shown = capsys.readouterr().out
    assert "--- from another.log:\nfound\n---\n" in shown
    assert "there is no apt-get" in shown


def test_parts_keep_bytecode_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in run_tests.variables()


def test_of_pytest_a_file_or_one_test_can_be_run_alone() -> None:
    (part,) = parts.unit_parts(["tests/programs/test_log.py", "tests/programs/test_relay.py::test_x"])
    assert part.command[-2:] == ["tests/programs/test_log.py", "tests/programs/test_relay.py::test_x"]
    (part,) = parts.unit_parts([])
    assert part.command[-1] == "tests"


def test_the_quick_part_has_every_linter_but_the_slow_one() -> None:
    quick, every = ([part.name for part in parts.lint_parts(quick=quick)] for quick in (True, False))
    assert every == [*parts.LINTERS]
    assert {*every} - {*quick} == {"ansible-lint"}


def test_pre_commit_runs_the_linters_that_the_tests_run() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"]: hook["entry"] for hook in local["hooks"]}
    assert hooks == {name: f".venv/bin/{shlex.join(command)}" for name, command in parts.LINTERS.items()}
    assert {hook["language"] for hook in local["hooks"]} == {"system"}, "nothing is fetched"


@pytest.mark.parametrize(
    "arguments",
    [
        ["everything"],
        ["lint", "default"],
        ["quick", "tests/unit/test_body.py"],
        ["molecule", "no-such-scenario"],
        ["unit", "tests/no_such_file.py"],
        ["fresh", "woody"],
    ],
    ids=" ".join,
)
def test_a_part_that_is_not_there_is_a_usage_error(arguments: list[str]) -> None:
    assert run_tests.main(arguments) == 64
