"""Tags take a part of a run, and --limit asks no other host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fedmsg_relay_plan.faults import fault_of
from fedmsg_relay_plan.parts import Part
from fedmsg_relay_plan.steps import TAGGED, Step
from fedmsg_relay_plan.tags import TAGS

from fleet import Fleet, fleet, relay, scripts

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def well(*tags: str) -> Fleet:
    return fleet(relay("app01"), scripts("pkgs01", "app01"), group="app01", tags=tags)


@pytest.mark.parametrize(
    ("tag", "on_the_relay", "on_scripts"),
    [
        ("program", "install", "install"),
        ("keys", "", ""),
        ("relay", "install replace prune count", ""),
        ("scripts", "", "install rely reach point deliver prune"),
    ],
)
def test_a_tag_takes_the_steps_of_one_folder(tag: str, on_the_relay: str, on_scripts: str) -> None:
    made = well(tag).plan()
    assert made.refusal == ""
    assert [" ".join(made.hosts[name].steps) for name in ("app01", "pkgs01")] == [on_the_relay, on_scripts]
    assert f"Only a part of that, by --tags {tag}" in made.sentences
    assert made.relays == (["app01"] if tag == "relay" else [])


def test_several_tags_take_the_steps_of_each() -> None:
    made = well("scripts", "relay").plan()
    assert Step.REPLACE in made.hosts["app01"].steps
    assert Step.POINT in made.hosts["pkgs01"].steps


def test_tags_of_the_site_do_not_widen_ours() -> None:
    assert well("relay", "of_the_site").plan().hosts == well("relay").plan().hosts
    assert well("all", "of_the_site").plan().hosts == well("all").plan().hosts


def test_a_run_for_tags_of_the_site_takes_no_step_and_refuses_nothing() -> None:
    """A move is in the inventory, and an operator runs something else of the site."""
    world = fleet(relay("app01"), scripts("bus01", "app01"), scripts("pkgs01", "app01"), group="bus01", tags=("nginx",))
    world.machines["pkgs01"].their_config = True
    made = world.plan()
    assert (made.refusal, made.relays, made.questions) == ("", [], {})
    assert {name: (host.steps, host.refusal) for name, host in made.hosts.items()} == dict.fromkeys(
        made.hosts, ([], "")
    )
    assert "Nothing of that now: --tags nginx has none of program, keys, relay, scripts, all" in made.sentences


@pytest.mark.parametrize(("skipped", "refused"), [(("relay", "keys"), True), (("nginx",), False), ((), False)])
def test_a_part_of_the_role_cannot_be_left_out(skipped: tuple[str, ...], refused: bool) -> None:
    world = fleet(relay("app01"), group="app01", skipped=skipped)
    fault = fault_of(world.inventory("app01"), "app01", world.shared())
    assert fault.startswith("--skip-tags keys,relay leaves nothing out") is refused, fault


@pytest.mark.parametrize("tag", TAGS)
def test_a_move_is_not_made_in_parts(tag: str) -> None:
    world = fleet(relay("app01"), scripts("bus01", "app01"), group="bus01", tags=(tag,))
    assert world.plan().refusal.startswith(f"This is a move, and --tags {tag} takes only a part of its steps")


def test_a_relay_that_waits_to_be_retired_is_left_alone() -> None:
    world = fleet(
        relay("app01", "bus01", upstream=("bus01",)),
        relay("bus01"),
        scripts("pkgs01", "app01"),
        group="bus01",
        tags=("scripts",),
    )
    made = world.plan()
    assert (made.refusal, made.hosts["app01"].steps, made.hosts["bus01"].steps) == ("", [], [])


def test_the_playbook_refuses_all_tags_but_these() -> None:
    [play] = yaml.safe_load((ROOT / "playbooks/relay.yml").read_text())
    run, skip = play["pre_tasks"][0]["ansible.builtin.assert"]["that"]
    assert re.findall("'([a-z]+)'", run) == ["all", *TAGS]
    assert re.findall("'([a-z]+)'", skip) == [*TAGS]
    assert set(TAGGED) == set(TAGS)
    assert {part for parts, _ in TAGGED.values() for part in parts} == set(Part)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """This machine, and two hosts that nobody can connect to. Nothing here changes this machine."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    nowhere = {"ansible_host": "192.0.2.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=1"}
    hosts = {"here": here, "relay01": nowhere, "other01": nowhere}
    groups = {"fedmsg": {"hosts": hosts}, "fedmsg_relay": {"hosts": {"relay01": {}}}}
    path = tmp_path / "inventory.json"
    path.write_text(json.dumps({"all": {"children": groups}}))
    return path


def play(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A host without units and relays: this machine may run no systemd, and relays of other tests.
    commands = inventory.parent / "bin"
    commands.mkdir()
    for name, script in {"systemctl": "echo LoadState=not-found", "ps": "exit 1"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "PATH": f"{commands}:{os.environ['PATH']}",
    }
    command = ["ansible-playbook", "--check", f"--inventory={inventory}", *arguments, str(ROOT / "playbooks/relay.yml")]
    command[0] = str(BIN / command[0])
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_another_tag_is_refused_before_any_host_is_asked(inventory: Path) -> None:
    ran = play(inventory, "--tags", "config")
    assert ran.returncode == 2
    assert "The tags are program, keys, relay and scripts" in ran.stdout
    assert "unreachable=1" not in ran.stdout


def test_a_limit_asks_no_other_host_and_tags_plan_first(inventory: Path) -> None:
    ran = play(inventory, "--limit", "here", "--tags", "keys", "--skip-tags", "of_the_site")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Only a part of that, by --tags keys" in ran.stdout
    recap = ran.stdout.rpartition("PLAY RECAP")[2]
    assert re.findall(r"(?m)^(\S+) +: ok", recap) == ["here"]
    assert "changed=0" in recap
