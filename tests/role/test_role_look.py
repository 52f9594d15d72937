"""The role's module that reads everything that the role judges a host by."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_host.command import CommandError, Ran
from fedmsg_relay_host.look import ASK, COMMANDS, READ, Places, look
from fedmsg_relay_host.systemd import properties

ROLE = Path(__file__).parents[2] / "roles/fedmsg_relay"
ANSIBLE = Path(sys.executable).parent / "ansible"
MARKER = "# Ansible managed: role fedmsg_relay"
OURS = f"{MARKER}. Change the inventory, not this file.\nx\n"

SHOWN = """LoadState=loaded
UnitFileState=enabled
ActiveState=active
NeedDaemonReload=no
ActiveEnterTimestamp=@1700000002
ExecMainStartTimestamp=@1700000001
MainPID=17
FragmentPath=/etc/systemd/system/fedmsg-relay.service
SourcePath=
DropInPaths=/etc/systemd/system/fedmsg-relay.service.d/a.conf /etc/systemd/system/service.d/b.conf
ExecStart={ path=/usr/bin/x ; argv[]=/usr/bin/x a=b ; ignore_errors=no }
InvocationID=0123456789abcdef
"""
SPOOL = """Id=relay-spool.service
LoadState=loaded
UnitFileState=static
ActiveState=inactive
NeedDaemonReload=no

Id=relay-spool.path
LoadState=loaded
UnitFileState=enabled
ActiveState=active
NeedDaemonReload=no
"""
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


def execute(command: list[str]) -> Ran:
    """Run a command for real."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ran.returncode, ran.stdout, ran.stderr


class Host:
    """The answers of commands, by the name of the command."""

    def __init__(self, **answers: Ran | str) -> None:
        self.answers = answers
        self.ran: list[list[str]] = []

    def __call__(self, command: list[str]) -> Ran:
        self.ran.append(command)
        answer = self.answers.get(Path(command[0]).name.replace("-", "_"))
        if answer is None:
            raise FileNotFoundError(2, "No such file or directory", command[0])
        return (0, answer, "") if isinstance(answer, str) else answer


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for folder in ("home/releases", "etc", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    return Places(
        home=str(tmp_path / "home"),
        marker=MARKER,
        files=[str(tmp_path / "etc" / name) for name in ("unit", "rotate", "toml")],
        patterns=[str(tmp_path / "lib/python*/*/x.pth")],
        commands=[str(tmp_path / "bin" / name) for name in ("relay", "logger")],
        contents=[str(tmp_path / "etc/toml")],
        config=str(tmp_path / "etc/relay.py"),
        unit=str(tmp_path / "etc/unit"),
        web_unit=str(tmp_path / "etc/web.service"),
        bridge_unit=str(tmp_path / "etc/bridge.service"),
        bridge_settings=str(tmp_path / "etc/bridge"),
        settings=str(tmp_path / "etc/toml"),
        spool_units=["relay-spool.service", "relay-spool.path"],
        pythons=["/usr/bin/python3", "/usr/bin/python3.11"],
        user="nobody-has-this-name",
    )


def only(places: Places, name: str, run: Callable[[list[str]], Ran] | None = None) -> Any:
    return look([name], places, run or Host())[name]


def test_files_with_the_marker_are_the_roles_and_all_others_are_foreign(places: Places) -> None:
    unit, rotate, toml = map(Path, places.files)
    assert only(places, "files") == {"ours": [], "foreign": []}
    unit.write_text(OURS)
    rotate.write_text(f"x {MARKER}\n")
    toml.write_text(f"x\n{MARKER}\n")
    assert only(places, "files") == {"ours": [str(unit), str(toml)], "foreign": [str(rotate)]}


@pytest.mark.parametrize("kind", ["link", "dead link", "directory", "binary"])
def test_what_the_role_never_writes_is_foreign(places: Places, kind: str) -> None:
    unit, other = Path(places.files[0]), Path(places.home, "marked")
    other.write_text(OURS)
    if kind == "directory":
        unit.mkdir()
    elif kind == "binary":
        unit.write_bytes(OURS.encode() + b"\xff")
    else:
        unit.symlink_to(other if kind == "link" else "/nothing")
    assert only(places, "files") == {"ours": [], "foreign": [str(unit)]}


def test_commands_are_the_roles_if_they_lead_into_its_directory(places: Places) -> None:
    relay, logger = map(Path, places.commands)
    relay.symlink_to(f"{places.home}/current/bin/relay")
    logger.symlink_to(f"{places.home}-other/bin/logger")
    assert only(places, "files") == {"ours": [str(relay)], "foreign": [str(logger)]}
    relay.unlink()
    relay.write_text("#!/bin/sh\n")
    assert only(places, "files")["foreign"] == [str(relay), str(logger)]


def test_files_that_match_a_pattern_are_found(places: Places) -> None:
    (pattern,) = places.patterns
    ours, foreign = (Path(pattern.replace("*/*", f"{version}/dist-packages")) for version in ("3.11", "3.13"))
    for path in (ours, foreign):
        path.parent.mkdir(parents=True)
    ours.write_text(OURS)
    foreign.write_text("x\n")
    assert only(places, "files") == {"ours": [str(ours)], "foreign": [str(foreign)]}


def test_contents_that_cannot_be_read_are_empty(places: Places) -> None:
    toml = Path(places.contents[0])
    assert only(places, "contents") == {str(toml): ""}
    toml.write_bytes(b"\xff\n")
    assert only(places, "contents") == {str(toml): base64.b64encode(b"\xff\n").decode()}
    toml.unlink()
    toml.mkdir()
    assert only(places, "contents") == {str(toml): ""}


def test_releases_are_named_with_their_state(places: Places) -> None:
    none: dict[str, list[str]] = {"present": [], "complete": [], "used": [], "web": [], "bridge": []}
    assert only(places, "releases") == {"home": True, "current": "", **none}
    folder = Path(places.home, "releases")
    for number, name in enumerate(["1", "2", "3", ".hidden"]):
        (folder / name).mkdir()
        for mark in (".complete", ".used"):
            (folder / name / mark).touch()
            os.utime(folder / name / mark, (number, number))
    (folder / "1/.complete").unlink()
    (folder / "3/.web").touch()
    (folder / "3/.bridge").touch()
    (folder / "2/.used").unlink()
    (folder / "4").symlink_to("3")
    Path(places.home, "current").symlink_to("releases/3")
    paths = [str(folder / name) for name in "123"]
    assert only(places, "releases") == {
        "home": True,
        "current": "releases/3",
        "present": paths,
        "complete": paths[1:],
        "used": [paths[2], paths[0]],
        "web": [paths[2]],
        "bridge": [paths[2]],
    }


def test_the_newer_of_unit_and_link_counts(places: Places) -> None:
    assert only(places, "written") == 0
    Path(places.unit).touch()
    os.utime(places.unit, (1000.9, 1000.9))
    assert only(places, "written") == 1000
    Path(places.home, "current").symlink_to("releases/3")
    os.utime(Path(places.home, "current"), (2000, 2000), follow_symlinks=False)
    assert only(places, "written") == 2000


def test_a_web_process_is_ready_and_as_old_as_its_files(places: Places) -> None:
    def web(**changed: str) -> dict[str, bool]:
        shown = dict(line.split("=", 1) for line in SHOWN.splitlines()) | changed
        run = Host(systemctl="".join(f"{key}={value}\n" for key, value in shown.items()))
        found: dict[str, bool] = only(places, "web", run)
        assert run.ran[0][-1] == "web.service"
        return found

    well = {"loaded": True, "ready": True, "outdated": False}
    assert web() == well
    assert web(UnitFileState="disabled") == {**well, "ready": False}
    assert web(ActiveState="activating") == {**well, "ready": False}
    assert web(NeedDaemonReload="yes") == {**well, "outdated": True}
    for path in (places.web_unit, places.settings):
        Path(path).touch()
        os.utime(path, (1700000001.9, 1700000001.9))
        assert web() == well
        os.utime(path, (1700000002, 1700000002))
        assert web() == {**well, "outdated": True}
        Path(path).unlink()
    absent = {"LoadState": "not-found", "UnitFileState": "", "ActiveState": "inactive", "ExecMainStartTimestamp": ""}
    assert web(**absent)["loaded"] is False


def test_a_bridge_is_as_old_as_its_files_and_says_how_it_is(places: Places) -> None:
    def bridge(told: Ran, shown: str = SHOWN) -> dict[str, Any]:
        run = Host(systemctl=shown, fedmsg_relay=told)
        found: dict[str, Any] = only(places, "bridge", run)
        assert run.ran[0][-1] == "bridge.service"
        return found

    well = {"loaded": True, "ready": True, "outdated": False, "rc": 0, "summary": "3 messages sent"}
    assert bridge((0, '{"summary": "3 messages sent"}', "")) == well
    assert bridge((3, "", "no program\n")) == {**well, "rc": 3, "summary": "no program"}
    assert bridge((0, "[]", "")) == {**well, "summary": "it does not say how it is"}
    Path(places.bridge_settings).touch()
    assert bridge((2, '{"summary": "waits"}', "")) == {**well, "outdated": True, "rc": 2, "summary": "waits"}
    absent = bridge((0, "{}", ""), "LoadState=not-found\nActiveState=inactive\n")
    assert (absent["loaded"], absent["rc"], absent["summary"]) == (False, 0, "")


def test_the_user_may_be_there_or_not(places: Places) -> None:
    assert only(places, "account") == {"user": False, "group": False}
    root = Places(**{**vars(places), "user": "root"})
    assert only(root, "account") == {"user": True, "group": True}


def test_the_config_has_a_time_and_the_host_a_name(places: Places) -> None:
    assert only(places, "configured") == 0
    Path(places.config).touch()
    os.utime(places.config, (3000.9, 3000.9))
    assert only(places, "configured") == 3000
    assert only(places, "hostname") == os.uname().nodename


def test_properties_are_parsed_whatever_they_hold() -> None:
    assert properties("A=b=c\nB=\nno property\nA=d\n") == {"A": "b=c d", "B": ""}


def test_a_running_service_has_a_start_and_a_process(places: Places) -> None:
    found = only(places, "service", Host(systemctl=SHOWN))
    assert (found["loaded"], found["started"], found["pid"]) == (True, 1700000001, 17)
    assert found["properties"]["ExecStart"] == "{ path=/usr/bin/x ; argv[]=/usr/bin/x a=b ; ignore_errors=no }"
    assert found["properties"]["InvocationID"] == "0123456789abcdef"


@pytest.mark.parametrize(
    ("changes", "started"),
    [
        ({"ActiveState=active": "ActiveState=failed"}, 0),
        ({"ActiveState=active": "ActiveState=activating"}, 0),
        ({"ExecMainStartTimestamp=@1700000001": "ExecMainStartTimestamp="}, 1700000002),  # an init script's
        ({"ExecMainStartTimestamp=@1700000001\n": ""}, 1700000002),
    ],
)
def test_only_an_active_service_is_started(places: Places, changes: dict[str, str], started: int) -> None:
    shown = SHOWN
    for old, new in changes.items():
        shown = shown.replace(old, new)
    assert only(places, "service", Host(systemctl=shown))["started"] == started


def test_a_host_without_the_unit_has_no_service(places: Places) -> None:
    shown = "LoadState=not-found\nActiveState=inactive\nMainPID=0\nActiveEnterTimestamp=\n"
    found = only(places, "service", Host(systemctl=shown))
    assert (found["loaded"], found["started"], found["pid"]) == (False, 0, 0)


@pytest.mark.parametrize(
    ("old", "new", "unready"),
    [
        ("", "", []),
        ("UnitFileState=enabled", "UnitFileState=disabled", ["relay-spool.path"]),
        ("ActiveState=active", "ActiveState=failed", ["relay-spool.path"]),
        ("NeedDaemonReload=no", "NeedDaemonReload=yes", ["relay-spool.service", "relay-spool.path"]),
        ("LoadState=loaded", "LoadState=not-found", ["relay-spool.service", "relay-spool.path"]),
    ],
)
def test_units_of_the_spool_are_ready_or_not(places: Places, old: str, new: str, unready: list[str]) -> None:
    found = only(places, "spool", Host(systemctl=SPOOL.replace(old, new) if old else SPOOL))
    assert found == {"present": "not-found" not in new, "unready": unready}


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
    done = subprocess.run(
        [
            *(ANSIBLE, "localhost", "--connection=local", "--check", "--module-name=fedmsg_relay_look"),
            f"--args={json.dumps({**vars(places), 'gather': gather})}",
        ],
        env={
            **os.environ,
            "ANSIBLE_LIBRARY": str(ROLE / "library"),
            "ANSIBLE_MODULE_UTILS": str(ROLE / "module_utils"),
            "ANSIBLE_NOCOLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "localhost | SUCCESS" in done.stdout, done.stdout + done.stderr
    assert all(f"\n    {name}:" in done.stdout for name in gather), done.stdout
