"""Runs of ansible-playbook that judge and bring keys: vaulted files, and that no output shows any of a key."""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_ca import Ca

from rendered import ROOT, ansible_playbook

BIN = Path(sys.executable).parent
LEAKS = ROOT / "molecule/shared/files/leaks.py"
USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Load the role's plugins
      ansible.builtin.import_role: {name: fedmsg_relay, tasks_from: handlers}
    - name: Judge
      ansible.builtin.debug:
        msg: "{{ lookup('fedmsg_relay_key_faults', **judged) }}"
    - name: Compare
      fedmsg_relay_keys:
        compare: true
        directory: "{{ there }}/pki"
        manifest: "{{ there }}/etc/keys"
        source: "{{ source }}"
        files: "{{ files }}"
    - name: Bring
      fedmsg_relay_keys:
        directory: "{{ there }}/pki"
        manifest: "{{ there }}/etc/keys"
        header: "# header"
        backups: "{{ there }}/backups"
        source: "{{ source }}"
        files: "{{ files }}"
        kept: "{{ kept | default([]) }}"
        drop: "{{ drop | default(false) }}"
"""


class Site:
    """A controller with a directory of keys, of which one pair is vaulted, and a host. Both are this machine."""

    def __init__(self, directory: Path) -> None:
        self.home = directory
        self.there = directory / "there"
        self.source = directory / "keys"
        ca = Ca(self.source)
        ca.init()
        for name in ("shell-h", "scm-h"):
            ca.issue(name)
        self.content = {path.name: path.read_bytes() for path in self.source.iterdir() if path.name != "ca.key"}
        self.plain = directory / "plain"
        self.plain.mkdir()
        for name in ("shell-h.key", "scm-h.key"):
            (self.plain / name).write_bytes(self.content[name])
        (directory / "password").write_text("secret")
        (directory / "play.yml").write_text(PLAY)
        vaulted = [self.source / "shell-h.key", self.source / "shell-h.crt"]
        command: list[str | Path] = [BIN / "ansible-vault", "encrypt", "--vault-password-file", directory / "password"]
        subprocess.run([*command, *vaulted], check=True, capture_output=True, timeout=60)

    def run(self, *arguments: str, vault: bool = True, **variables: Any) -> subprocess.CompletedProcess[str]:
        owned = {"owner": USER, "group": GROUP}
        files = [
            {"name": "ca.crt", **owned, "mode": "0644"},
            *({"name": f"{name}.crt", **owned, "mode": "0644"} for name in ("shell-h", "scm-h")),
            *({"name": f"{name}.key", **owned, "mode": "0640"} for name in ("shell-h", "scm-h")),
        ]
        asked = {
            "source": str(self.source),
            "there": str(self.there),
            "files": files,
            "judged": {
                "host": "h",
                "certs": [{"service": "shell"}, {"service": "scm"}],
                "cert_host": "h",
                "directory": str(self.source),
                "sign": True,
            },
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        command = ["--inventory=h,", "--connection=local", "-vvv", "--diff"]
        password = [f"--vault-password-file={self.home / 'password'}"] if vault else []
        return ansible_playbook(
            *command, *password, f"--extra-vars={json.dumps(asked)}", *arguments, self.home / "play.yml"
        )

    def leaks(self, text: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, LEAKS, "--keys", self.plain]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)

    def shows_nothing(self, ran: subprocess.CompletedProcess[str]) -> None:
        looked = self.leaks(ran.stdout + ran.stderr)
        assert looked.returncode == 0, looked.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def test_vaulted_files_come_plain_and_no_output_shows_a_key(site: Site) -> None:
    dry = site.run("--check")
    assert dry.returncode == 0, dry.stdout
    assert "changed=1 " in dry.stdout
    assert f"content: that of {site.source}/shell-h.key" in dry.stdout, "the diff of a dry run is true"
    assert not site.there.exists()
    wet = site.run()
    assert "changed=1 " in wet.stdout, wet.stdout
    there = {path.name: path.read_bytes() for path in (site.there / "pki").iterdir()}
    assert there == {name: content for name, content in site.content.items() if name != "crl.pem"}
    again = site.run()
    assert "changed=0 " in again.stdout, again.stdout
    for ran in (dry, wet, again):
        assert "msg: []" in ran.stdout or "msg:\n    - []" in ran.stdout, "no fault of the files"
        site.shows_nothing(ran)


def test_another_tool_takes_the_keys_over_and_none_is_removed(site: Site) -> None:
    """As a run does it that brings keys no longer."""
    site.run()
    before = {path.name: path.read_bytes() for path in (site.there / "pki").iterdir()}
    assert (site.there / "etc/keys").read_text().count("\n") == len(before) + 1
    handed_over = site.run(source="", files=[], kept=sorted(before), drop=True)
    assert handed_over.returncode == 0, handed_over.stdout
    assert "changed=1 " in handed_over.stdout
    assert {path.name: path.read_bytes() for path in (site.there / "pki").iterdir()} == before
    assert not (site.there / "etc/keys").exists()
    site.shows_nothing(handed_over)


def squeezed(text: str) -> str:
    """The text without white space: Ansible folds a line wherever the length of a path makes it long."""
    return "".join(text.split())


def test_a_run_that_fails_shows_no_key(site: Site, tmp_path: Path) -> None:
    without = site.run(vault=False)
    assert without.returncode != 0
    assert squeezed("shell-h.crt cannot be read (") in squeezed(without.stdout)
    assert squeezed(f"a file in {site.source} cannot be read: ") in squeezed(without.stdout)
    (tmp_path / "pki/scm-h.key").mkdir(parents=True)
    in_the_way = site.run(there=str(tmp_path))
    assert in_the_way.returncode != 0
    assert squeezed("scm-h.key already exists as a directory") in squeezed(in_the_way.stdout)
    nowhere = site.run(there="/proc/version")
    assert nowhere.returncode != 0
    broken = site.run(ansible_python_interpreter="/bin/false")
    assert broken.returncode != 0
    for ran in (without, in_the_way, nowhere, broken):
        site.shows_nothing(ran)


@pytest.mark.parametrize("form", ["label", "line", "yaml", "json", "base64", "slurped"])
def test_a_planted_key_is_found(site: Site, form: str) -> None:
    key = (site.plain / "scm-h.key").read_text()
    planted = {
        "label": "x\n-----BEGIN RSA PRIVATE KEY-----\n",
        "line": f"x\n<h> {key.splitlines()[5]}\n",
        "yaml": f"x\n{yaml.safe_dump({'content': key})}",
        "json": f"x\n{json.dumps({'content': key})}\n",
        "base64": f"x\n{base64.b64encode(key.encode()).decode()}\n",
        "slurped": f"x\n{base64.encodebytes(key.encode()).decode()}"[:400],
    }[form]
    looked = site.leaks(planted)
    assert looked.returncode == 1, looked.stdout
    assert "stdin:2" in looked.stdout
    assert key.splitlines()[5] not in looked.stdout


def test_the_search_for_keys_without_keys_is_a_fault(site: Site, tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, LEAKS, "--keys", tmp_path]
    looked = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=False)
    assert looked.returncode == 2
    assert site.leaks("nothing here\n").returncode == 0
