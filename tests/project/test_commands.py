"""Every command that the tests call is one that they install: none is there by luck."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import fresh
import packages
import parts
import pytest
import yaml

import commands
from harness import PATIENCE

ROOT = Path(__file__).parents[2]
NEEDED = {"git", "python", "python3", "python3.11"}
"""What the README asks for before its first command."""
IN_DEBOOTSTRAP = {"apt"}
"""Debian's minimum has it, though no package needs it."""
CALLED_BY_ANSIBLE = {"ssh"}
CONTAINERS = {**packages.MOLECULE, **packages.ENGINE, **packages.CLIENT}
AREAS: Mapping[str, Mapping[str, str]] = {
    "tests": {**packages.UNIT, **packages.BROKER},
    "benchmarks": packages.UNIT,
    "script": {**CONTAINERS, **packages.FRESH},
    # Called where systemd runs already.
    "molecule": {**CONTAINERS, "systemctl": "systemd"},
    ".ci": {},
    "examples": {},
    # Asked only where it is there.
    "src": {"systemctl": "systemd"},
}
"""What is installed for the files of each directory."""
ON_THE_HOSTS = (ROOT / "molecule/shared/files", ROOT / "molecule/shared/image")
"""They run on the test hosts, whose image has a list of its own."""


def files(area: str) -> Iterator[Path]:
    shell = {ROOT / name for name in parts.shell_files()}
    for path in sorted((ROOT / area).rglob("*")):
        ours = path in shell or path.suffix == ".py" or (area == "molecule" and path.suffix == ".yml")
        if ours and not any(path.is_relative_to(directory) for directory in ON_THE_HOSTS):
            yield path


def called(area: str) -> dict[str, Path]:
    """Each command that the directory's files call and that this machine has, and one of the files."""
    found = {name: path for path in files(area) for name in commands.of_file(path)}
    return {name: path for name, path in found.items() if name and where(name)}


def where(command: str) -> str | None:
    return shutil.which(command, path=fresh.PATHS)


def in_the_minimum(names: set[str]) -> set[str]:
    """Those that Debian's minimum has: of an essential package, or one of priority required."""
    paths: dict[str, str] = {}
    for name in names:
        found = Path(where(name) or name)
        for path in (str(found), str(found.resolve())):
            # The package may know it by its name from before /bin became a link.
            paths |= {path: name, path.removeprefix("/usr"): name}
    owners = [line.split(": ") for line in asked("--search", *paths) if ": /" in line]
    shown = asked("--show", "--showformat=${Package} ${Essential} ${Priority}\n", *{owner for owner, _ in owners})
    packages_there = {line.split()[0] for line in shown if re.search("yes|required", line)} | IN_DEBOOTSTRAP
    return {paths[path] for owner, path in owners if owner in packages_there}


def asked(*question: str) -> list[str]:
    done = subprocess.run(["dpkg-query", *question], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout.splitlines()


@pytest.mark.parametrize("area", AREAS)
def test_each_command_that_is_called_is_listed_or_in_debians_minimum(area: str) -> None:
    if not where("dpkg-query"):
        pytest.skip("only Debian knows what is in Debian's minimum")
    unlisted = {name: path for name, path in called(area).items() if name not in AREAS[area] and name not in NEEDED}
    unlisted = {name: path for name, path in unlisted.items() if name not in in_the_minimum({*unlisted})}
    assert not unlisted, f"script/packages.py lists no package of {sorted(unlisted)}, called by {unlisted.values()}"


@pytest.mark.parametrize(
    ("areas", "listed"),
    [
        (["tests"], {**packages.UNIT, **packages.BROKER}),
        (["script"], packages.FRESH),
        (["molecule", "script"], CONTAINERS),
    ],
    ids=["tests", "fresh machines", "containers"],
)
def test_each_listed_command_is_called(areas: list[str], listed: Mapping[str, str]) -> None:
    found = {name for area in areas for path in files(area) for name in commands.of_file(path)}
    assert listed.keys() <= found | CALLED_BY_ANSIBLE


@pytest.mark.parametrize("command", packages.UNIT)
def test_each_command_that_is_installed_for_tests_runs(command: str) -> None:
    found = where(command)
    assert found, f"no {command}: run script/test, which installs it"
    assert subprocess.run([found, "--version"], capture_output=True, timeout=PATIENCE, check=False).returncode == 0


def test_tests_of_a_fresh_machine_call_all_that_is_installed_for_tests() -> None:
    files_run = {file for test in fresh.TESTS for file in with_helpers(test)}
    names = {name for file in files_run for name in commands.of_file(file)}
    assert packages.UNIT.keys() <= names | {"systemd-analyze"}  # its caller renders the role first, which takes long


def with_helpers(name: str) -> Iterator[Path]:
    """A test's file, and the modules of tests/support that it imports."""
    path = ROOT / name.partition("::")[0]
    yield path
    for module in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE):
        helper = ROOT / "tests" / "support" / f"{module}.py"
        if helper.exists():
            yield helper


SHELL = """\
#!/bin/sh
# not called: perl
set -e; out=$(one -a | two) && FOO=1 three || { four; exit 1; }
if ! five; then six 'not; this'; fi
exec timeout 5 "$out"
"""


def test_commands_are_found_in_shell() -> None:
    found = commands.in_shell(SHELL)
    assert {"one", "two", "three", "four", "five", "six", "timeout"} <= found
    assert not {"perl", "this", "out", "not"} & found


def test_commands_are_found_in_python() -> None:
    code = """
line = ["faketime", "-f", "+0", "sh", "-c", "one | two"]
subprocess.Popen(line, stdin=PIPE)
host.run("/usr/bin/env", "three", f"-{x}")
shutil.which("four")
MEMBER = ["/usr/bin/setpriv", "--x"]
host.run(*MEMBER, "/usr/bin/five")
"""
    found = {Path(word).name for word in commands.in_python(ast.parse(code))}
    assert {"faketime", "sh", "one", "two", "env", "three", "four", "setpriv", "five"} <= found


def test_commands_are_found_in_plays_that_run_on_the_controller_alone() -> None:
    plays = """
- hosts: localhost
  connection: local
  tasks:
    - block:
        - ansible.builtin.command: {argv: [one, x]}
- hosts: all
  tasks:
    - ansible.builtin.command: there
    - ansible.builtin.shell: two | three
      delegate_to: localhost
"""
    assert {*commands.in_plays(yaml.safe_load(plays))} == {"one", "two", "three"}
