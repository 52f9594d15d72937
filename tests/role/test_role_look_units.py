"""The role asks systemd about units: the relay, its web process, its bridge, the delivery of the spool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_host.command import Ran
from fedmsg_relay_host.installation import Places
from fedmsg_relay_host.systemd import properties

from looked import SHOWN, Host, only, places_below

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


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_below(tmp_path)


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
