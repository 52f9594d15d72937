"""The role's module that reads everything that the role judges a host by: what commands say, and the module itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_host.command import CommandError, Ran
from fedmsg_relay_host.installation import READ, Places
from fedmsg_relay_host.look import ASK, COMMANDS

from looked import Host, only, places_below
from role_modules import run_by_ansible

PORTS = """LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=12,fd=3))
LISTEN 0      100                *:9941            *:*
LISTEN 0      100             [::]:3999         [::]:*    users:(("fedmsg-relay",pid=17,fd=9),("x",pid=18,fd=9))
"""
PROCESSES = """     17 /opt/fedmsg-relay/current/bin/python /opt/fedmsg-relay/current/bin/fedmsg-relay
    118 /usr/bin/python3 /usr/bin/fedmsg-relay --status-file x
     19 python fedmsg-relay status --json
     20 python /usr/local/bin/fedmsg-relay --config-filename x journal tail
     21 fedmsg-relay status
     22 /usr/bin/python3 /usr/local/bin/fedmsg-relay tail --since 12:00
     23 /opt/fedmsg-relay/current/bin/python /opt/fedmsg-relay/current/bin/fedmsg-relay web
"""
ADDRESSES = """1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
1: lo    inet6 ::1/128 scope host \\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.0.7/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever preferred_lft forever
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_below(tmp_path)


def execute(command: list[str]) -> Ran:
    """Run a command for real."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((0, '{"relay": {"pid": 17}}', ""), {"relay": {"pid": 17}}),
        ((2, '{"relay": {"pid": 17}, "summary": "CRITICAL"}', ""), {"relay": {"pid": 17}, "summary": "CRITICAL"}),
        ((69, '{"error": "no relay answers"}', "no relay answers"), {}),
        ((1, "Traceback", "x"), {}),
        ((0, "[1]", ""), {}),
    ],
)
def test_the_relay_answers_or_not(places: Places, answer: Ran, told: dict[str, Any]) -> None:
    run = Host(fedmsg_relay=answer)
    assert only(places, "status", run) == {"rc": answer[0], "stderr": answer[2], "answer": told}
    assert run.ran == [[f"{places.home}/current/bin/fedmsg-relay", "status", "--json"]]


def test_a_host_without_the_program_gives_no_status(places: Places) -> None:
    found = only(places, "status")
    assert (found["rc"], found["answer"]) == (127, {})
    assert "No such file" in found["stderr"]


def test_processes_are_relays_and_not_the_commands_of_operators(places: Places) -> None:
    assert only(places, "processes", Host(ps=PROCESSES)) == ["17", "118"]
    assert only(places, "processes", Host(ps=(1, "", ""))) == []


def test_no_command_of_operators_is_taken_for_a_relay() -> None:
    relay = Path(sys.executable).with_name("fedmsg-relay")
    shown = execute([str(relay), "--help"])[1]
    found = set(re.findall(r"^    ([a-z-]+)(?: |$)", shown.partition("\ncommands:")[2], re.MULTILINE))
    assert {"status", "web"} <= found
    assert found <= set(COMMANDS)


def test_ports_are_listed_with_the_process_where_it_is_known(places: Places) -> None:
    held = [["22", "sshd", "12"], ["9941", "", ""], ["3999", "fedmsg-relay", "17"]]
    assert only(places, "ports", Host(ss=PORTS)) == held
    assert only(places, "ports") == []


@pytest.mark.parametrize(
    ("config", "inbound"),
    [
        ("config = {'relay_inbound': ['tcp://old01:9941'], 'x': 1}", ["tcp://old01:9941"]),
        ('config = dict(relay_inbound="tcp://old01:9941")', ["tcp://old01:9941"]),
        ("import sys\nconfig = {'relay_inbound': ['tcp://%s:%d' % ('a', 1), None]}\nprint('x')", ["tcp://a:1"]),
        ("config = {}", []),
        ("other = 1", []),
    ],
)
def test_the_relays_of_a_config_are_those_of_python(places: Places, config: str, inbound: list[str]) -> None:
    Path(places.config).write_text(config)
    assert only(places, "config", execute) == {"inbound": inbound, "error": ""}


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ("config = {", "SyntaxError: '{' was never closed"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("config = {'relay_inbound': 17}", "TypeError: 'int' object is not iterable"),
    ],
)
def test_a_config_that_cannot_be_executed_has_a_reason(places: Places, config: str, error: str) -> None:
    Path(places.config).write_text(config)
    assert only(places, "config", execute) == {"inbound": [], "error": error}


def test_a_config_that_does_not_end_is_given_up(places: Places) -> None:
    Path(places.config).write_text("while True: pass\n")
    found = only(places, "config", Host(timeout=(124, "", "")))
    assert found == {"inbound": [], "error": "it does not end within 10 s"}


def test_a_host_without_a_config_names_no_relay(places: Places) -> None:
    assert only(places, "config") == {"inbound": [], "error": ""}


def test_the_addresses_of_the_host_are_listed(places: Places) -> None:
    assert only(places, "addresses", Host(ip=ADDRESSES)) == ["127.0.0.1", "::1", "10.0.0.7"]
    assert only(places, "addresses") == []


def test_pythons_that_are_there_say_their_version(places: Places) -> None:
    assert only(places, "pythons", Host(python3="3.13\n")) == {"/usr/bin/python3": "3.13"}


@pytest.mark.parametrize("name", ["bridge", "service", "spool", "web", "processes"])
def test_a_command_that_has_to_work_and_does_not_is_an_error(places: Places, name: str) -> None:
    with pytest.raises(CommandError, match="No such file"):
        only(places, name)
    with pytest.raises(CommandError, match="no bus"):
        only(places, name, Host(systemctl=(2, "", "no bus\n"), ps=(2, "", "no bus\n")))


def test_ansible_runs_it(places: Places) -> None:
    """As Ansible's module, in a dry run, with everything that needs no service manager."""
    gather = sorted({*READ, *ASK} - {"bridge", "service", "spool", "web"})
    told = run_by_ansible("fedmsg_relay_look", {**vars(places), "gather": gather}, "--check")
    assert "localhost | SUCCESS" in told
    assert all(f"\n    {name}:" in told for name in gather), told
