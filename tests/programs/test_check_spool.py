"""fedmsg-relay check-config tells whether scripts can use the spool of this host, and whether it is delivered."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from fedmsg_relay.errors import EX_CONFIG, EX_USAGE
from harness import COMMANDS, Host
from spooled import message, put

LIKE_OTHERS = "setpriv --bounding-set=-dac_override,-dac_read_search" if os.geteuid() == 0 else ""

UNITS = """\
Id=fedmsg-relay-spool.path
ActiveState={active}

Id=fedmsg-relay-spool.timer
ActiveState=inactive

ExecStart={{ path=/usr/local/bin/fedmsg-relay ; argv[]=/usr/local/bin/fedmsg-relay spool deliver --spool {spool} ; \
ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}
Id=fedmsg-relay-spool.service
ActiveState=inactive
"""
"""As `systemctl show` of systemd 252 prints it."""


def told(host: Host, **env: str) -> tuple[list[str], dict[str, Any]]:
    """The lines about the spool, and the same in JSON; the exit code does not depend on it."""
    shown = []
    for options in ("--scripts", "--scripts --json"):
        ran = host.run("/bin/sh", "-c", f"exec {LIKE_OTHERS} fedmsg-relay check-config {options}", env=env)
        assert (ran.code, ran.stderr) == (0, "")
        shown.append(ran.stdout)
    spool: dict[str, Any] = json.loads(shown[1])["spool"]
    return [line for line in shown[0].splitlines() if line.startswith("spool")], spool


def with_units(host: Host, active: str, spool: Path) -> dict[str, str]:
    """The environment of a host whose systemd has these units."""
    (host.directory / "units").write_text(UNITS.format(active=active, spool=spool))
    program = host.write("bin/systemctl", f"#!/bin/sh\nexec cat {host.directory}/units\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{COMMANDS}:/usr/bin:/bin"}


def test_a_spool_that_can_be_used(lonely: Host) -> None:
    put(lonely, message("x"), f"{time.time_ns():020d}-1-1.msg")
    lines, spool = told(lonely, **with_units(lonely, "active", lonely.spool))
    assert lines == [f"spool     {lonely.spool}, 1 waiting"]
    assert spool == {"directory": str(lonely.spool), "unusable": "", "waiting": 1, "undelivered": ""}
    assert f"spool     {lonely.spool}" in lonely.run("fedmsg-relay", "check-config").stdout


def test_a_host_without_a_spool(host: Host) -> None:
    lines, spool = told(host)
    assert lines == ["spool     none, so a script ends with 69 if no relay takes its message"]
    assert spool["directory"] == ""


@pytest.mark.parametrize(
    ("make", "why"),
    {
        "mkdir": "this user may not write there (mode 555, user {user})",
        "touch": "it is not a directory",
        "none": "No such file or directory",
    }.items(),
)
def test_a_spool_that_scripts_cannot_use(lonely: Host, make: str, why: str) -> None:
    shutil.rmtree(lonely.spool)
    if make == "mkdir":
        lonely.spool.mkdir(mode=0o555)
    elif make == "touch":
        lonely.spool.touch()
    lines, spool = told(lonely)
    assert spool["unusable"] == why.format(user=os.geteuid())
    assert lines[1:] == [f"spool cannot be used: {spool['unusable']}"]


def test_root_is_told_that_other_users_cannot_use_it(lonely: Host) -> None:
    lonely.spool.chmod(0o755)
    expected = "not all users may write there (mode 755, user 0)" if os.geteuid() == 0 else ""
    assert told(lonely)[1]["unusable"] == expected


def test_a_message_that_waits_for_long(lonely: Host) -> None:
    put(lonely, message("x"), f"{time.time_ns() - 3600 * 10**9:020d}-1-1.msg")
    lines, spool = told(lonely)
    assert "a message has waited since 20" in spool["undelivered"]
    assert lines[1] == f"spool is not delivered: {spool['undelivered']}"


def test_the_units_that_deliver_it(lonely: Host) -> None:
    elsewhere = Path("/var/spool/fedmsg-relay")
    assert told(lonely, **with_units(lonely, "active", lonely.spool))[1]["undelivered"] == ""
    _, spool = told(lonely, **with_units(lonely, "inactive", lonely.spool))
    assert spool["undelivered"] == "neither fedmsg-relay-spool.path nor fedmsg-relay-spool.timer is active"
    _, spool = told(lonely, **with_units(lonely, "active", elsewhere))
    assert spool["undelivered"] == f"fedmsg-relay-spool.service delivers {elsewhere}"


@pytest.mark.parametrize("value", [None, 5, ["/var/spool/x"], "spool", "./spool"])
def test_a_spool_that_is_not_an_absolute_path_is_refused(host: Host, value: object) -> None:
    host.configure(relay_spool=value)
    for command in ("fedmsg-relay check-config --scripts", "fedmsg-relay spool ls", "fedmsg-logger --message x"):
        ran = host.run(*command.split())
        assert (ran.code, ran.stdout) == (EX_CONFIG, "")
        assert "relay_spool must be the absolute path of a directory, or '' for none; it is" in ran.one_error_line()


def test_a_stand_in_that_nobody_would_read_is_refused(host: Host) -> None:
    installed = host.directory / "fedmsg.d" / "relay.py"
    ran = host.run("fedmsg-relay", "check-config", "--scripts", "--stand-in", f"missing.py={installed}")
    assert (ran.code, ran.stdout) == (EX_CONFIG, "")
    assert ran.one_error_line() == "fedmsg-relay: --stand-in: missing.py: No such file or directory"
    ran = host.run("fedmsg-relay", "check-config", "--scripts", "--stand-in", f"{installed}=/etc/fedmsgd/relay.py")
    assert (ran.code, ran.stdout) == (EX_USAGE, "")
    assert "/etc/fedmsgd/relay.py is not one of the files that are read" in ran.one_error_line()
