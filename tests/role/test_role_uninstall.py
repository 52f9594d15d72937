"""A site's own playbook uninstalls the role: no host is changed if one of them cannot go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rendered import play

PLAY = [
    {
        "hosts": "fedmsg",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.import_role": {"name": "fedmsg_relay", "tasks_from": "uninstall"}}],
    }
]
MARKER = "# Ansible managed: role fedmsg_relay. Change the inventory, not this file.\n"
NOWHERE = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_ssh_common_args": "-o ConnectTimeout=1"}


class Site:
    """Hosts that are all this machine, each with a directory of its own for the role's files."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "site.yml").write_text(yaml.safe_dump(PLAY))

    def written(self, host: str, name: str) -> None:
        path = self.home / "hosts" / host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MARKER)

    def uninstall(self, **hosts: dict[str, Any]) -> tuple[int, str]:
        """Uninstall the role dry. Exit code, and output without line breaks."""
        here = f"{self.home}/hosts/{{{{ inventory_hostname }}}}"
        variables = {
            "fedmsg_relay_uninstall": True,
            "__fedmsg_relay_home": f"{here}/opt",
            "__fedmsg_relay_spool": f"{here}/spool",
            "__fedmsg_relay_unit_file": f"{here}/unit",
            "__fedmsg_relay_bridge_file": f"{here}/bridge",
            "__fedmsg_relay_all_files": [f"{here}/unit", f"{here}/bridge"],
            "__fedmsg_relay_unit_files": [],
            "__fedmsg_relay_command_paths": [],
            "__fedmsg_relay_pth_paths": f"{here}/*.pth",
        }
        extra = f"--extra-vars={json.dumps(variables)}"
        done = play(self.home, self.home / "site.yml", "--check", extra, hosts=hosts, relays={}, variables={})
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_site_that_can_be_uninstalled_is(site: Site) -> None:
    site.written("bus01", "unit")
    code, said = site.uninstall(bus01={}, pkgs01={})
    assert code == 0, said
    assert "changed: [bus01]" in said


def test_a_host_of_the_run_that_does_not_answer_may_name_the_relay(site: Site) -> None:
    site.written("bus01", "unit")
    code, said = site.uninstall(bus01={}, pkgs01=NOWHERE)
    assert code != 0
    assert "pkgs01 cannot be asked whether it names the relay of bus01." in said
    assert "changed: [" not in said


def test_a_refusal_on_one_host_keeps_all(site: Site) -> None:
    site.written("bus01", "unit")
    site.written("pkgs01", "bridge")  # which does not say what it has sent
    code, said = site.uninstall(bus01={}, pkgs01={})
    assert code != 0
    assert "The bridge on pkgs01 cannot be removed" in said
    assert "changed: [" not in said
