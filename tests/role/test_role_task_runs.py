"""Tasks of the role that run by themselves on this machine, without the rest of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from rendered import ROLE, play

MARKER = "# Ansible managed: role fedmsg_relay. Change the inventory, not this file.\n"


def run(home: Path, tasks: str, hosts: tuple[str, ...], relay: str, **variables: Any) -> str:
    """Run a file of tasks on hosts that all are this machine. The output without line breaks."""
    role = {"name": "fedmsg_relay", "tasks_from": tasks}
    (home / "site.yml").write_text(
        yaml.safe_dump([{"hosts": "fedmsg", "gather_facts": False, "tasks": [{"ansible.builtin.import_role": role}]}])
    )
    extra = f"--extra-vars={json.dumps(variables)}"
    done = play(home, home / "site.yml", extra, hosts={host: {} for host in hosts}, relays={relay: {}}, variables={})
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("relay", ["app01", "pkgs01"])
def test_hosts_that_do_not_sign_are_named_once_whichever_host_comes_first(tmp_path: Path, relay: str) -> None:
    said = run(
        tmp_path,
        "keys/check_keys",
        ("app01", "pkgs01"),
        relay,
        fedmsg_relay_certs=[{"service": "shell"}],
        fedmsg_relay_trust="warn",
        __fedmsg_relay_before={"hostname": ""},
    )
    assert (
        said.count("These hosts do not sign, and fedmsg_relay_trust enforce will not be possible: app01, pkgs01.") == 1
    )


@pytest.mark.parametrize("foreign", ["", "unit", "settings"])
def test_a_bridge_is_removed_and_no_file_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\n")  # this machine's systemd is not concerned
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    files = {name: tmp_path / name for name in ("unit", "settings", "bridge.cursor")}
    for path in files.values():
        path.write_text(MARKER)
    theirs = [str(files[foreign])] if foreign else []
    run(
        tmp_path,
        "bridge/stop_bridging",
        ("app01",),
        "app01",
        fedmsg_relay_abandon_bridge=True,
        __fedmsg_relay_home=str(tmp_path / "opt"),
        __fedmsg_relay_state=str(tmp_path),
        __fedmsg_relay_bridge_file=str(files["unit"]),
        __fedmsg_relay_bridge_settings_file=str(files["settings"]),
        __fedmsg_relay_before={"files": {"ours": [], "foreign": theirs}},
        __fedmsg_relay_steps=[],
        __fedmsg_relay_hands_over=False,
    )
    assert [name for name, path in files.items() if path.exists()] == ([foreign] if foreign else [])


@pytest.mark.parametrize(
    ("steps", "hands_over", "opens"),
    [(["replace"], False, True), (["hand_over"], True, True), (["install"], False, False), ([], False, False)],
)
def test_ports_are_opened_only_where_the_run_takes_the_steps_of_a_relay(
    steps: list[str], hands_over: bool, opens: bool
) -> None:
    """Such as not with ``--tags program``."""
    every = yaml.safe_load((ROLE / "tasks/main.yml").read_text())
    [condition] = [task["when"] for task in every if task["name"] == "Open the ports of the relay"]
    environment = jinja2.Environment(autoescape=True)
    environment.filters["bool"] = bool
    found = environment.compile_expression(condition)(
        fedmsg_relay_firewalld=True,
        __fedmsg_relay_steps=steps,
        __fedmsg_relay_hands_over=hands_over,
        __fedmsg_relay_runs_here=True,
    )
    assert found is opens
