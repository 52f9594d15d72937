"""The role's files as ansible-playbook renders them for every operating system.

Debian 12 and 13 are run for real by the molecule scenarios; RHEL and Fedora are rendered here only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/fedmsg_relay"
ANSIBLE_PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"

SYSTEMS = {
    "debian12": ("Debian", "Debian", "12"),
    "debian13": ("Debian", "Debian", "13"),
    "rhel9": ("RedHat", "RedHat", "9"),
    "rocky9": ("RedHat", "Rocky", "9"),
    "rhel10": ("RedHat", "RedHat", "10"),
    "fedora43": ("RedHat", "Fedora", "43"),
}
"""Host: its family, distribution and major version."""

ODD = {
    "quotes": "it's \"quoted\" \\ and {{ '{{' }} more",
    "lines": "one\ntwo\ttab\r",
    "unicode": "\u00e9 \u2028 \U0001f600 \x7f",
    "python": [True, False, None, 1, 1.5, {"deep": ["'''"]}],
    "# no comment": "'] # none",
}

SIGNER = {
    "fedmsg_relay_certs": [
        {"service": "shell", "group": "sysadmin"},
        {"service": "scm", "alias": "git", "can_send": ["git.receive"]},
    ],
    "fedmsg_relay_cert_host": "signer01.internal",
    "fedmsg_relay_certs_from": "/srv/keys",
    "fedmsg_relay_sign": True,
    "fedmsg_relay_trust": "warn",
    "fedmsg_relay_spool_textfile": "/srv/node/fedmsg.prom",
}
"""A relay's host whose scripts sign."""

MONITORED = {"moksha.monitoring.socket": "ipc:///run/monitors/relay.socket"}
"""More of the global config: where stock's monitoring looks."""

PROXY = {
    "fedmsg_relay_network": "vpn",
    "fedmsg_relay_datagrepper": True,
    "fedmsg_relay_certs": [{"service": "shell"}],
    "fedmsg_relay_cert_host": "proxy01",
    "fedmsg_relay_ssldir": "/etc/pki/fedmsg/",
}
"""A host of another network, with stock consumers. Another tool brings its keys."""

URL = "amqps://bridge:s3cret@rabbit01.example.org/%2Fpubsub"

RENDER = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Be another system
      be: {facts: "{{ facts }}"}
    - name: Load what the role knows of this system
      ansible.builtin.include_role: {name: fedmsg_relay, tasks_from: facts, public: true}
    - name: Render each template, also for a relay that hands over and for ones whose ports are to be others
      ansible.builtin.copy:  # all of it at once, for each task starts two processes for each host
        content: "{{ files | to_json }}"
        dest: "{{ out }}/{{ inventory_hostname }}.json"
        mode: "0644"
      vars:
        before: {inbound: ["tcp://*:9931"], outbound: ["tcp://*:3999", "tcp://10.0.0.1:3989"], submit: ["tcp://*:9932"]}
        old:
          __fedmsg_relay_old: {inbound: ["tcp://*:9931"], outbound: ["tcp://10.0.0.1:3989"], submit: ["tcp://*:9932"]}
        stays: {__fedmsg_relay_here: true, __fedmsg_relay_chain: false}
        leaves: {__fedmsg_relay_here: false, __fedmsg_relay_chain: true}
        other: "{{ old | combine({'__fedmsg_relay_bound': before}) }}"
        settings: "{{ role }}/templates/relay.toml.j2"
        bridge: "{{ role }}/templates/bridge.toml.j2"
        files:
          relay.py: "{{ lookup('template', role ~ '/templates/relay.py.j2') }}"
          relay.toml: "{{ lookup('template', settings) }}"
          fedmsg-relay.service: "{{ lookup('template', role ~ '/templates/fedmsg-relay.service.j2') }}"
          logrotate: "{{ lookup('template', role ~ '/templates/logrotate.j2') }}"
          chained.toml: "{{ lookup('template', settings, template_vars={'__fedmsg_relay_chain': true}) }}"
          stays.toml: "{{ lookup('template', settings, template_vars=stays | combine(other)) }}"
          leaves.toml: "{{ lookup('template', settings, template_vars=leaves | combine(other)) }}"
          spool.service: "{{ lookup('template', role ~ '/templates/fedmsg-relay-spool.service.j2') }}"
          bridge.toml: "{{ lookup('template', bridge) if fedmsg_relay_bridge is mapping else '' }}"
          bridge.service: "{{ lookup('template', role ~ '/templates/fedmsg-relay-bridge.service.j2') }}"
          web.service: "{{ lookup('template', role ~ '/templates/fedmsg-relay-web.service.j2') }}"
          keys: {brought: "{{ wanted['keys'] }}", kept: "{{ wanted['kept'] }}"}
          planned: "{{ __fedmsg_relay_wanted_files.texts }}"
          system: {python: "{{ __fedmsg_relay_python }}", packages: "{{ packages }}"}
        wanted: "{{ __fedmsg_relay_wanted_files }}"
        packages: "{{ __fedmsg_relay_packages + __fedmsg_relay_service_packages }}"
        __fedmsg_relay_source_release: {stdout: "1.0"}
        __fedmsg_relay_seen: {pythons: {}}
"""

# A module of its own, because Ansible takes facts from modules only.
BE = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"facts": {"type": "dict"}})
module.exit_json(ansible_facts=module.params["facts"])
"""


def play(
    home: Path,
    playbook: Path,
    *arguments: str,
    hosts: dict[str, Any],
    relays: dict[str, Any],
    variables: dict[str, Any],
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook on hosts that all are this machine."""
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    groups = {"fedmsg": {"hosts": hosts, "vars": {**local, **variables}}, "fedmsg_relay": {"hosts": relays}}
    inventory = home / "inventory.yml"
    inventory.write_text(yaml.safe_dump(groups))
    return ansible_playbook("--inventory", inventory, *arguments, playbook)


def ansible_playbook(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook in the project's folder."""
    return subprocess.run(
        [ANSIBLE_PLAYBOOK, *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def facts(family: str, distribution: str, major: str) -> dict[str, str | int]:
    return {
        "os_family": family,
        "distribution": distribution,
        "distribution_major_version": major,
        "machine": "x86_64",
        "pkg_mgr": "apt" if family == "Debian" else "dnf",
        "effective_user_id": 0,
        "user_id": "root",
    }


def render(out: Path) -> None:
    """Put into a directory what the role would write on each host, for two relays of which one has an IPv6 address."""
    playbook = out / "render.yml"
    playbook.write_text(RENDER)
    (out / "library").mkdir()
    (out / "library/be.py").write_text(BE)
    (out / "templates").symlink_to(ROLE / "templates")
    hosts: dict[str, Any] = {host: {"facts": facts(*system)} for host, system in SYSTEMS.items()}
    done = play(
        out,
        playbook,
        f"--extra-vars={json.dumps({'out': str(out), 'role': str(ROLE)})}",
        hosts=hosts
        | {"proxy01": {"facts": facts(*SYSTEMS["debian12"]), **PROXY}}
        | {"signer01.example.org": {"facts": facts(*SYSTEMS["debian13"]), **SIGNER}},
        relays={
            "debian12": {"fedmsg_relay_addresses": {"vpn": "bus.vpn.example.org"}},
            "rhel9": {
                "fedmsg_relay_addresses": {"default": "fd00::17", "vpn": "10.8.0.17"},
                "fedmsg_relay_web": True,
                "fedmsg_relay_bridge": {"amqp_url": [URL], "back_queue": "back"},
            },
        },
        variables={
            "fedmsg_relay_environment": "stg",
            "fedmsg_relay_topic_prefix": "org.example",
            "fedmsg_relay_config_extra": {"odd": ODD, "endpoints": {"shell.app01": ["tcp://app01:3000"]}} | MONITORED,
            "fedmsg_relay_settings": {
                "bind": {"inbound": ["tcp://*:9941", "tcp://[::1]:3998"]},
                "limits": {"max_message_size": 4096},
            },
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for host in [*hosts, "proxy01", "signer01.example.org"]:
        for name, content in json.loads((out / f"{host}.json").read_text()).items():
            (out / f"{host}-{name}").write_text(content if isinstance(content, str) else json.dumps(content))
