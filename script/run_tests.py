"""Run the tests of the project, installing what is missing.

    script/test                         everything
    script/test quick                   the linters without ansible-lint, and tests/unit: under a minute
    script/test lint                    ruff, mypy, ansible-lint, yamllint, shellcheck
    script/test unit [FILE[::TEST]...]  pytest: the programs, stock fedmsg both ways, the role
    script/test molecule [SCENARIO...]  the role on systemd hosts in containers
    script/test fresh [RELEASE...]      HEAD's demo and some of pytest on a Debian where nothing is installed

Each part's whole output is in .cache/test-logs/. The last line counts the parts that passed and
failed; the exit code is 0 only when none failed. With CI=true a skipped test is a failure.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import containers
import environment
import fresh
import packages
import parts
from environment import ROOT, VENV, SetupError
from parts import LOGS, Part, Verdict

TAIL_LINES = 60
DESTROY_SECONDS = 120
LANES = 2
"""Parts at a time: much of pytest and of a scenario is waiting. Scenarios give way to pytest."""

# Signals that told the tests to end. They are noted and looked at where nothing is half done.
signals: list[int] = []


@dataclass
class Result:
    name: str
    verdict: Verdict
    seconds: float

    def outcome(self) -> str:
        word = "ok" if self.verdict.passed else "FAILED"
        return f"{word:6} {self.seconds:7.1f} s  {self.verdict.note}".rstrip()


def look_at_signals() -> None:
    if signals:
        sys.exit(128 + signals[0])


def run(part: Part) -> Result:
    look_at_signals()
    heading(part.name)
    began = time.monotonic()
    with part.log.open("wb") as output:
        verdict = run_bounded(part, output.fileno())
    log = part.log.read_text(errors="replace")
    judged = part.judge(log)
    note = ", ".join(filter(None, [verdict.note, judged.note]))
    verdict = Verdict(verdict.passed and judged.passed, note)
    seconds = time.monotonic() - began
    if not verdict.passed:
        print(f"--- from {part.log.relative_to(ROOT)}:")
        print("\n".join(what_tells(log)))
        print("---")
    result = Result(part.name, verdict, seconds)
    print(f"   {result.name:20} {result.outcome()}", flush=True)
    return result


def what_tells(log: str) -> list[str]:
    """The end of a log, and before it the last task that failed, which Ansible's clearing up leaves far above."""
    lines = log.splitlines()
    end = lines[-TAIL_LINES:]
    above = lines[:-TAIL_LINES]
    failures = [number for number, line in enumerate(above) if re.match(r"(fatal|failed): \[", line)]
    if not failures:
        return end
    headings = [number for number, line in enumerate(above) if re.match(r"(TASK|RUNNING HANDLER) \[", line)]
    begin = max([number for number in headings if number < failures[-1]], default=failures[-1])
    next_one = min([number for number in headings if number > failures[-1]], default=len(above))
    return [*above[begin : min(next_one, failures[-1] + TAIL_LINES)], "[...]", *end]


def run_bounded(part: Part, output: int) -> Verdict:
    """Run the part's command in a session of its own, so that all it started ends with it."""
    process = subprocess.Popen(
        part.command,
        cwd=ROOT,
        env=variables(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + part.seconds
        while time.monotonic() < deadline:
            look_at_signals()
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(0.5)
                return Verdict(code == 0, "" if code == 0 else f"exit {code}")
        return Verdict(passed=False, note=f"did not end within {part.seconds} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if part.clean_up:
                subprocess.run(
                    part.clean_up,
                    cwd=ROOT,
                    env=variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=DESTROY_SECONDS,
                    check=False,
                )


def variables() -> dict[str, str]:
    """The commands of `.venv` first; a UTF-8 locale, which Ansible insists on.

    Bytecode is kept: without it each process that Ansible forks compiles the role's filters anew.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
    }


def heading(text: str) -> None:
    print(f"== {text}", flush=True)


def set_up(what: str, action: Callable[[], object]) -> Result | None:
    """The failure to set something up, as the result of a part; None when it is there."""
    look_at_signals()
    heading(f"set up: {what}")
    began = time.monotonic()
    try:
        action()
    except SetupError as error:
        print(f"   {error}", flush=True)
        verdict = Verdict(passed=False, note=str(error))
        return Result(f"set up {what}", verdict, time.monotonic() - began)
    return None


def start(engine: containers.Engine) -> None:
    containers.look_at_python(sys.version_info[:2])
    engine.start()


def run_all(what: str, names: list[str]) -> Iterator[Result]:
    """Run the parts. What a group of them needs is set up while those before it run."""
    if what != "fresh" and (failure := set_up("the tools", lambda: environment.make_venv("dev"))):
        yield failure
        return
    apt_log = LOGS / "apt.log"
    with ExitStack() as stack:
        engine = containers.Engine(LOGS / "dockerd.log")
        stack.callback(engine.stop)
        lanes = ThreadPoolExecutor(LANES)
        stack.callback(lanes.shutdown, cancel_futures=True)
        running: list[Future[Result]] = []

        def begin(to_run: list[Part]) -> None:
            running.extend(lanes.submit(run, part) for part in to_run)

        if what in ("all", "lint"):
            begin(parts.lint_parts())
        if what == "quick":
            begin([*parts.lint_parts(quick=True), *parts.unit_parts([parts.UNIT_TESTS])])
        groups = {
            "unit": ("stock fedmsg and packages", lambda: prepare_unit(names, apt_log), parts.unit_parts),
            "fresh": ("fresh machines", lambda: fresh.can_be_made(apt_log), parts.fresh_parts),
            "molecule": ("containers", lambda: start(engine), parts.molecule_parts),
        }
        for group, (needed, prepare, parts_of) in groups.items():
            if what not in ("all", group):
                continue
            if failure := set_up(needed, prepare):
                yield failure
            else:
                begin(parts_of(names))
        for part in running:
            yield part.result()


def prepare_unit(names: list[str], log: Path) -> None:
    """Install what tests talk to and what they call."""
    environment.make_stock_venv()
    packages.install(parts.packages_of(names), "the tests", log)
    if parts.bridged(names):
        environment.make_fedora_venv()


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__, end="")
        return 0
    what, names = (arguments[0], arguments[1:]) if arguments else ("all", [])
    named = {"unit": parts.test_files(), "molecule": parts.scenarios(), "fresh": fresh.RELEASES}
    accepted = {"all": [], "quick": [], "lint": [], **named}
    # Of a file of tests one alone can be named, as pytest has it: FILE::TEST.
    if what not in accepted or not {name.partition("::")[0] for name in names} <= set(accepted[what]):
        asked = " ".join(arguments)
        print(f"script/test: cannot run {asked!r}, see script/test --help", file=sys.stderr)
        return 64
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.append(number))
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    results = list(run_all(what, names))
    heading(f"summary ({time.monotonic() - began:.0f} s)")
    for result in results:
        print(f"   {result.name:20} {result.outcome()}")
    failed = sum(not result.verdict.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
