"""Checks for RHEL that need no host of RHEL. test_role_render.py reads rendered files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/fedmsg_relay"
UNITS = sorted(
    [*ROLE.glob("templates/*.service.j2"), *ROLE.glob("templates/*.path.j2"), *ROLE.glob("templates/*.timer.j2")]
)
COMMANDS = ("fedmsg-relay", "fedmsg-logger", "fedmsg-spool")
PACKAGES = {
    # What RHEL 9 and 10 call them, in BaseOS or AppStream.
    "RedHat-9.yml": {"python3.11", "logrotate"},
    "RedHat.yml": {"python3", "logrotate"},
}


def known() -> dict[str, set[str]]:
    """The directives of systemd 252 by section."""
    sections: dict[str, set[str]] = {}
    for block in (ROOT / "tests/data/systemd-252.txt").read_text().split("\n["):
        name, _, words = block.partition("]\n")
        sections[name] = set(words.split())
    return sections


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_252_knows_every_directive(unit: Path) -> None:
    section, checked = "", 0
    for line in unit.read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif directive := re.match(r"([A-Z]\w+)=", line):
            assert directive[1] in known()[section], line
            checked += 1
    assert checked >= 2


def test_the_list_is_that_of_252() -> None:
    assert "ExitType" in known()["Service"]  # since 250
    assert "MemoryZSwapMax" not in known()["Service"], "since 253"
    assert {len(words) > 2 for name, words in known().items() if not name.startswith("#")} == {True}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_packages_are_those_of_rhel(name: str) -> None:
    known = yaml.safe_load((ROLE / "vars" / name).read_text())
    assert {*known["__fedmsg_relay_packages"], *known["__fedmsg_relay_service_packages"]} == PACKAGES[name]
    assert known["__fedmsg_relay_python_site"] == "site-packages"
    # RHEL has no python3-venv: the module is in the package of Python.
    assert not any("venv" in package for package in PACKAGES[name])


@pytest.mark.parametrize("path", [*UNITS, ROLE / "templates/logrotate.j2"], ids=lambda path: path.stem)
def test_no_file_of_a_host_finds_a_command_by_its_path(path: Path) -> None:
    """On RHEL neither sudo's secure_path nor cron's PATH has /usr/local/bin."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    if path in UNITS:
        lines = [line for line in lines if line.startswith("Exec")]
        assert [line for line in lines if not re.match(r"Exec\w+=[-+!@]*(/|\{\{)", line)] == []
    for command in COMMANDS:
        bare = re.compile(rf"(?<![\w/.-]){command}(?=\s|$)")
        assert [line for line in lines if bare.search(line)] == []


def test_logrotate_reads_its_file(tmp_path: Path) -> None:
    template = jinja2.Template((ROLE / "templates/logrotate.j2").read_text())
    names = {"header": "# x", "log_directory": tmp_path, "user": "root"}
    config = tmp_path / "fedmsg-relay"
    config.write_text(template.render({f"__fedmsg_relay_{name}": value for name, value in names.items()}))
    program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program
    done = subprocess.run([program, "--debug", config], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert "weekly (12 rotations)" in done.stderr


def test_no_task_relies_on_the_path_of_a_user() -> None:
    bare = re.compile(rf"argv: \[\"?({'|'.join(COMMANDS)})\b")
    assert [file.name for file in (ROLE / "tasks").rglob("*.yml") if bare.search(file.read_text())] == []


def test_the_docs_say_what_sudo_does_not_find() -> None:
    page = " ".join((ROOT / "docs/rhel.md").read_text().split())
    assert "sudo /usr/local/bin/fedmsg-relay status" in page
    for place in ("/opt/fedmsg-relay", "/var/lib/fedmsg-relay", "/var/log/fedmsg", "/var/spool/fedmsg-relay"):
        assert f"`{place}" in page, f"its label: {place}"
