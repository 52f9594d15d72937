"""The parts that script/test runs: the command of each, and how its log is judged."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fresh
import packages
from environment import ROOT

LOGS = ROOT / ".cache" / "test-logs"
LINT_SECONDS = 300
UNIT_SECONDS = 1800
FRESH_SECONDS = 1200
SCENARIO_SECONDS = 2000
LINTERS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy", "--strict"],
    "ansible-lint": ["ansible-lint", "--offline", "--strict"],
    "yamllint": ["yamllint", "--strict", "."],
    "shellcheck": ["shellcheck", "--external-sources"],
}
"""The linters; shellcheck gets the names of the shell files as well. `.pre-commit-config.yaml` has the same."""
SLOW_LINTERS = {"ansible-lint"}
UNIT_TESTS = "tests/unit"
"""The tests that start no process."""
UNIT_WORKERS = 3
"""Tests at a time: three quarters of their time are waiting."""
LONG_SCENARIOS, SHORT_SCENARIOS = ("guards", "lifecycle", "move"), ("adopt",)
"""The long ones begin first and the short ones last, so that nothing long is left to run by itself."""
SHELL_DIRECTORIES = ("script", "examples", ".ci", "molecule", "playbooks", "roles", "src", "tests")
IN_CI = os.environ.get("CI") == "true"


@dataclass
class Part:
    """One thing to run. It passed when its command exited 0 and `judge`, which reads the log, agrees."""

    name: str
    command: list[str]
    seconds: int
    judge: Callable[[str], Verdict]
    clean_up: list[str] | None = None

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name.replace(' ', '-')}.log"


@dataclass
class Verdict:
    passed: bool
    note: str = ""


def content(_log: str) -> Verdict:
    """The verdict on a log that says no more than the exit code."""
    return Verdict(passed=True)


def lint_parts(*, quick: bool = False) -> list[Part]:
    """All linters, or those that take seconds."""
    commands = {name: command for name, command in LINTERS.items() if not quick or name not in SLOW_LINTERS}
    commands["shellcheck"] = [*commands["shellcheck"], *shell_files()]
    return [Part(name, command, LINT_SECONDS, content) for name, command in commands.items()]


def shell_files() -> Iterator[str]:
    for directory in SHELL_DIRECTORIES:
        for path in sorted((ROOT / directory).rglob("*")):
            if not path.is_file() or path.is_symlink() or path.suffix not in ("", ".sh"):
                continue
            with path.open("rb") as file:
                first = file.readline(80)
            if path.suffix == ".sh" or re.match(rb"#!.*\b(ba|da)?sh\b", first):
                yield str(path.relative_to(ROOT))


def unit_parts(files: list[str]) -> list[Part]:
    workers = [f"--numprocesses={UNIT_WORKERS}", "--dist=worksteal"]
    command = ["python", "-m", "pytest", *workers, *(files or ["tests"])]
    return [Part("pytest", command, UNIT_SECONDS, judge_pytest)]


def packages_of(files: list[str]) -> dict[str, str]:
    """What tests call: RabbitMQ, which takes long to install, only where those of the bridge are among them."""
    return {**packages.UNIT, **(packages.BROKER if bridged(files) else {})}


def bridged(files: list[str]) -> bool:
    return not files or any("test_bridge" in name for name in files)


def test_files() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*/test_*.py")]


def judge_pytest(log: str) -> Verdict:
    summary = log.strip().rpartition("\n")[2].strip("= ")
    skipped = re.search(r"\d+ (skipped|deselected|xfailed|xpassed)", summary)
    return Verdict(" passed" in summary and not (skipped and IN_CI), summary)


def scenarios() -> list[str]:
    names = [path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")]
    return sorted(names, key=lambda name: (name in SHORT_SCENARIOS, name not in LONG_SCENARIOS, name))


def molecule_parts(names: list[str]) -> list[Part]:
    return [
        Part(
            f"molecule {name}",
            ["nice", "molecule", "test", "--scenario-name", name],
            SCENARIO_SECONDS,
            judge_scenario,
            ["molecule", "destroy", "--scenario-name", name],
        )
        for name in names or scenarios()
    ]


def judge_scenario(log: str) -> Verdict:
    """Molecule exits 0 also when it skipped a step, such as one whose playbook is not there."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    skipped = re.search(r"^.*(missing playbook|> \w+\] skipping).*$", log, re.IGNORECASE | re.MULTILINE)
    if skipped:
        return Verdict(passed=False, note=skipped[0].strip())
    matrix = re.search(r"test matrix: (.+)", log)
    steps = [step.split()[0] for step in matrix[1].split(", ")] if matrix else []
    done = re.findall(r"> (\w+)\] Executed: Successful", log)
    if done != steps or not {"converge", "verify"} <= set(done):
        return Verdict(passed=False, note=f"not every step ran: {' '.join(done) or 'none'}")
    return Verdict(passed=True, note=f"{len(done)} steps")


def fresh_parts(releases: list[str]) -> list[Part]:
    return [
        Part(
            f"fresh {release}",
            ["nice", sys.executable, "script/fresh.py", release],
            FRESH_SECONDS,
            judge_fresh,
            ["rm", "-rf", str(fresh.root_of(release))],
        )
        for release in releases or fresh.RELEASES
    ]


def judge_fresh(log: str) -> Verdict:
    done = re.findall(rf"^{fresh.DONE} ((.+) \(\d+ s\))$", log, re.MULTILINE)
    return Verdict([step for _, step in done] == [*fresh.STEPS], ", ".join(line for line, _ in done))
