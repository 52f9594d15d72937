"""The files of the role, rendered by ansible-playbook for every operating system, and read by their programs.

Debian 12 and 13 are run for real by the molecule scenarios; RHEL and Fedora are rendered here only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedmsg_relay import config
from fedmsg_relay.daemon import drain, settings
from fedmsg_relay.network.address import split

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

PROXY = {"fedmsg_relay_network": "vpn", "fedmsg_relay_datagrepper": True}
"""A host of another network, with stock consumers."""

SITE = {
    "fedmsg_relay_certs": [{"service": "scm", "can_send": ["git.receive"]}],
    "fedmsg_relay_environment": "stg",
    "fedmsg_relay_topic_prefix": "org.example",
}
"""A site whose own tools bring the keys, and whose scripts do not sign yet."""

URL = "amqps://bridge:s3cret@rabbit01.example.org/%2Fpubsub"
UNITS = "/etc/systemd/system"

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
          planned: "{{ __fedmsg_relay_wanted_files.texts }}"
          system: {python: "{{ __fedmsg_relay_python }}", packages: "{{ packages }}"}
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
    return subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", inventory, *arguments, playbook],
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


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the role would write on each host, for two relays of which one has an IPv6 address."""
    out = tmp_path_factory.mktemp("rendered")
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
    return out


@pytest.mark.parametrize("host", SYSTEMS)
def test_the_global_config_names_every_relay_as_the_groups_order_has_them(rendered: Path, host: str) -> None:
    read = config.read([str(rendered / f"{host}-relay.py")])
    assert config.addresses(read, "relay_inbound") == ["tcp://debian12:9941", "tcp://[fd00::17]:9941"]
    assert config.addresses(read, "relay_outbound") == ["tcp://debian12:3999", "tcp://[fd00::17]:3999"]
    assert (read["environment"], read["topic_prefix"]) == ("stg", "org.example")
    assert all(split(address, "") for address in read["relay_inbound"])


def test_a_host_on_another_network_gets_the_relays_names_there(rendered: Path) -> None:
    read = config.read([str(rendered / "proxy01-relay.py")])
    assert config.addresses(read, "relay_inbound") == ["tcp://bus.vpn.example.org:9941", "tcp://10.8.0.17:9941"]


def test_more_config_is_merged_and_any_text_survives_as_python(rendered: Path) -> None:
    read = config.read([str(rendered / "debian13-relay.py")])
    assert read["endpoints"]["shell.app01"] == ["tcp://app01:3000"]
    assert read["odd"] == {**ODD, "quotes": 'it\'s "quoted" \\ and {{ more'}


@pytest.mark.parametrize("host", SYSTEMS)
def test_the_settings_are_the_relays(rendered: Path, host: str) -> None:
    read = settings.load(rendered / f"{host}-relay.toml")
    assert read.bind.inbound == ["tcp://*:9941", "tcp://[::1]:3998"]
    assert read.limits.max_message_size == 4096


def test_a_relay_binds_its_name_in_its_own_network_not_that_in_the_config(rendered: Path) -> None:
    relay = tomllib.loads((rendered / "rhel9-relay.toml").read_text())
    assert relay["bind"] == {
        "inbound": ["tcp://*:9941", "tcp://[::1]:3998"],  # a site that says so overrules it
        "outbound": ["tcp://[fd00::17]:3999"],
        "submit": ["tcp://[fd00::17]:9942"],
    }
    assert "upstream" not in relay


def test_a_relay_that_hands_over_keeps_its_addresses_and_has_all_upstreams(rendered: Path) -> None:
    chained = tomllib.loads((rendered / "fedora43-chained.toml").read_text())
    assert chained["bind"] == tomllib.loads((rendered / "fedora43-relay.toml").read_text())["bind"]
    assert chained["bind"]["outbound"] == ["tcp://fedora43:3999"]
    assert chained["upstream"] == {
        "submit": ["tcp://debian12:9942", "tcp://[fd00::17]:9942"],
        "outbound": ["tcp://debian12:3999", "tcp://[fd00::17]:3999"],
    }


def test_a_relay_binds_its_old_addresses_behind_those_of_the_inventory(rendered: Path) -> None:
    text = (rendered / "fedora43-stays.toml").read_text()
    assert tomllib.loads(text)["bind"] == {
        "inbound": ["tcp://*:9941", "tcp://[::1]:3998", "tcp://*:9931"],
        "outbound": ["tcp://fedora43:3999", "tcp://10.0.0.1:3989"],
        "submit": ["tcp://fedora43:9942", "tcp://*:9932"],
    }
    assert "when they are unused: inbound tcp://*:9931, outbound tcp://10.0.0.1:3989, submit tcp://*:9932" in text


def test_a_leaving_relay_keeps_its_addresses_whatever_the_inventory_says(rendered: Path) -> None:
    leaves = tomllib.loads((rendered / "fedora43-leaves.toml").read_text())
    assert leaves["bind"] == {
        "inbound": ["tcp://*:9931"],
        "outbound": ["tcp://fedora43:3999", "tcp://10.0.0.1:3989"],
        "submit": ["tcp://*:9932"],
    }
    assert leaves["upstream"]["submit"] == ["tcp://debian12:9942", "tcp://[fd00::17]:9942"]


def test_a_host_that_signs_has_its_own_certificates_in_its_config(rendered: Path) -> None:
    read = config.read([str(rendered / "signer01.example.org-relay.py")])
    assert read["certnames"] == {"shell.signer01": "shell-signer01.internal", "git.signer01": "scm-signer01.internal"}
    assert (read["sign_messages"], read["validate_signatures"]) == (True, False)
    assert (read["ssldir"], read["ca_cert_location"]) == ("/etc/pki/fedmsg", "/etc/pki/fedmsg/ca.crt")
    assert read["crl_location"] == "/etc/pki/fedmsg/crl.pem"


@pytest.mark.parametrize("host", [*SYSTEMS, "signer01.example.org"])
def test_every_host_has_the_policy_of_all_hosts(rendered: Path, host: str) -> None:
    read = config.read([str(rendered / f"{host}-relay.py")])
    assert read["routing_policy"] == {"org.example.stg.git.receive": ["scm-signer01.internal"]}
    assert read["routing_nitpicky"] is False
    if host in SYSTEMS:
        assert not {"certnames", "sign_messages", "ssldir"} & set(read)


def test_a_config_names_the_web_processes_that_are_there(rendered: Path) -> None:
    read = config.read([str(rendered / "debian13-relay.py")])
    assert read["relay_web"] == ["http://[fd00::17]:9943"]
    assert "datagrepper_url" not in read
    consumer = config.read([str(rendered / "proxy01-relay.py")])
    assert consumer["relay_web"] == ["http://10.8.0.17:9943"]
    assert consumer["datagrepper_url"] == "http://10.8.0.17:9943/raw"


def test_a_bridge_has_settings_of_its_own_which_no_other_file_has(rendered: Path) -> None:
    read = settings.load(rendered / "rhel9-bridge.toml")
    assert read.bridge == settings.Bridge(amqp_url=[URL], back_queue="back")
    assert read.bind.submit == ["tcp://[fd00::17]:9942"]
    assert (rendered / "debian12-bridge.toml").read_text() == ""
    named = [path.name for path in rendered.glob("rhel9-*") if "s3cret" in path.read_text()]
    assert named == ["rhel9-bridge.toml"]


def test_a_relay_checks_as_the_inventory_says_and_by_default_not_at_all(rendered: Path) -> None:
    trust = settings.load(rendered / "signer01.example.org-relay.toml").trust
    assert (trust.signatures, trust.ca, trust.crl) == (
        settings.Signatures.WARN,
        "/etc/pki/fedmsg/ca.crt",
        "/etc/pki/fedmsg/crl.pem",
    )
    assert "trust" not in tomllib.loads((rendered / "debian12-relay.toml").read_text())


def test_the_depth_of_the_spool_is_written_where_the_inventory_says(rendered: Path) -> None:
    unit = (rendered / "signer01.example.org-spool.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    assert command.endswith(" spool deliver --spool /var/spool/fedmsg-relay --textfile /srv/node/fedmsg.prom")
    assert re.findall(r"^ReadWritePaths=(.*)$", unit, re.M) == ["/var/spool/fedmsg-relay", "-/srv/node"]
    other = (rendered / "debian13-spool.service").read_text()
    assert re.findall(r"^ExecStart=.*( spool deliver .*)$", other, re.M) == [
        " spool deliver --spool /var/spool/fedmsg-relay"
    ]
    assert re.findall(r"^ReadWritePaths=(.*)$", other, re.M) == ["/var/spool/fedmsg-relay"]


def test_the_spool_is_delivered_in_the_group_that_may_read_the_shell_key(rendered: Path) -> None:
    unit = (rendered / "signer01.example.org-spool.service").read_text()
    assert re.findall(r"^SupplementaryGroups=(.*)$", unit, re.M) == ["sysadmin"]
    assert "SupplementaryGroups" not in (rendered / "debian13-spool.service").read_text()


@pytest.mark.parametrize("host", [*SYSTEMS, "signer01.example.org"])
def test_the_plan_has_the_text_of_each_file_at_its_path(rendered: Path, host: str) -> None:
    planned = json.loads((rendered / f"{host}-planned").read_text())
    written = {"/etc/fedmsg.d/relay.py": "relay.py", "/etc/logrotate.d/fedmsg-relay": "logrotate"}
    units = {
        f"{UNITS}/fedmsg-relay.service": "fedmsg-relay.service",
        f"{UNITS}/fedmsg-relay-spool.service": "spool.service",
        f"{UNITS}/fedmsg-relay-web.service": "web.service",
        f"{UNITS}/fedmsg-relay-bridge.service": "bridge.service",
    }
    for path, name in {**written, **units}.items():
        assert planned.pop(path) == (rendered / f"{host}-{name}").read_text()
    assert set(planned) == {f"{UNITS}/fedmsg-relay-spool.path", f"{UNITS}/fedmsg-relay-spool.timer"}
    assert all(f"[{path.rpartition('.')[2].title()}]" in text for path, text in planned.items())


@pytest.mark.parametrize("host", SYSTEMS)
def test_every_file_says_who_wrote_it(rendered: Path, host: str) -> None:
    for name in ("relay.py", "relay.toml", "fedmsg-relay.service", "logrotate"):
        first = (rendered / f"{host}-{name}").read_text().splitlines()[0]
        assert first.startswith("# Ansible managed: role fedmsg_relay"), name


@pytest.mark.parametrize(
    ("host", "python", "package"),
    [
        ("debian12", "/usr/bin/python3", "python3-venv"),
        ("debian13", "/usr/bin/python3", "python3-venv"),
        ("rhel9", "/usr/bin/python3.11", "python3.11"),
        ("rocky9", "/usr/bin/python3.11", "python3.11"),
        ("rhel10", "/usr/bin/python3", "python3"),
        ("fedora43", "/usr/bin/python3", "python3"),
    ],
)
def test_each_system_gets_a_python_that_is_new_enough(rendered: Path, host: str, python: str, package: str) -> None:
    system = json.loads((rendered / f"{host}-system").read_text())
    assert system["python"] == python
    assert package in system["packages"]
    assert "logrotate" in system["packages"]


@pytest.mark.parametrize("name", ["fedmsg-relay.service", "web.service", "bridge.service"])
@pytest.mark.parametrize("host", SYSTEMS)
def test_systemd_counts_at_most_1_5_of_exposure(rendered: Path, host: str, name: str, tmp_path: Path) -> None:
    unit = tmp_path / "fedmsg-relay.service"
    unit.write_bytes((rendered / f"{host}-{name}").read_bytes())
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert "Unknown key" not in scored.stderr


def test_a_relay_may_make_the_socket_of_stocks_monitoring(rendered: Path) -> None:
    unit = (rendered / "debian13-fedmsg-relay.service").read_text()
    assert re.findall(r"^ReadWritePaths=(.*)$", unit, re.M) == ["-/run/fedmsg -/run/monitors"]
    assert re.findall(r"^RuntimeDirectory=(.*)$", unit, re.M) == ["fedmsg-relay"]


@pytest.mark.parametrize("host", SYSTEMS)
def test_systemd_lets_a_relay_take_its_time_to_stop(rendered: Path, host: str) -> None:
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", (rendered / f"{host}-fedmsg-relay.service").read_text(), re.M)
    longest = drain.LONGEST_DRAIN_SECONDS + drain.DRAIN_SECONDS + drain.ABANDON_SECONDS
    assert longest + drain.LINGER_SECONDS + drain.ANSWER_SECONDS + 10 < int(patience)


@pytest.mark.parametrize(
    ("variables", "relays", "message"),
    [
        ({}, {}, "no relay would remain"),
        ({"fedmsg_relay_network": "lan"}, {"app01": None}, "set fedmsg_relay_addresses.lan on app01"),
        ({}, {"app01": {"fedmsg_relay_addresses": {"default": "a'+b"}}}, "neither a host name nor an IP address: a'+b"),
        ({}, {"app01": {"fedmsg_relay_addresses": {"default": "a b"}}}, "neither a host name nor an IP address: a b"),
        ({}, {"app01": {"fedmsg_relay_addresses": {"default": "pkgs01"}}, "pkgs01": None}, "an address of its own"),
        ({"fedmsg_relay_config_extra": {"relay_inbound": ["tcp://x:1"]}}, {"app01": None}, "names the relay"),
        ({"fedmsg_relay_config_extra": {"endpoints": {"relay_outbound": "x"}}}, {"app01": None}, "names the relay"),
        ({"fedmsg_relay_settings": '{"limits": {"x": true}}'}, {"app01": None}, "Write it as YAML"),
        (
            {"fedmsg_relay_sign": True},
            {"app01": None},
            "app01: fedmsg_relay_sign is set, but fedmsg_relay_certs has no",
        ),
        ({"fedmsg_relay_certs_from": "/nowhere"}, {"app01": None}, "pkgs01: /nowhere/ca.crt is missing: put the CA's"),
        ({"fedmsg_relay_certs": [{"can_send": []}]}, {"app01": None}, "missing required arguments: service"),
        ({"fedmsg_relay_policy_extra": {"a.b": ["x"]}}, {"app01": None}, "set fedmsg_relay_environment and"),
        ({"fedmsg_relay_policy_extra": "a=b"}, {"app01": None}, "fedmsg_relay_policy_extra has to be a dict"),
        ({"fedmsg_relay_trust": "warn"}, {"app01": None}, "fedmsg_relay_trust is warn on app01, which gets neither"),
        ({"fedmsg_relay_trust": True}, {"app01": None}, "value of fedmsg_relay_trust must be one of"),
        (
            {"fedmsg_relay_settings": {"trust": {"signatures": "warn"}}},
            {"app01": None},
            "comes from fedmsg_relay_trust",
        ),
        ({**SITE, "fedmsg_relay_trust": "enforce"}, {"app01": None}, "would refuse all messages of app01, pkgs01: set"),
        ({"fedmsg_relay_datagrepper": True}, {"app01": None}, "but no relay has a web process: set fedmsg_relay_web"),
        ({"fedmsg_relay_bridge": True}, {"app01": None}, "fedmsg_relay_bridge has to be a dict and is not"),
        ({"fedmsg_relay_settings": {"bridge": {}}}, {"app01": None}, "Its keys belong to fedmsg_relay_bridge."),
        ({"fedmsg_relay_inbound_port": "http"}, {"app01": None}, "unable to convert to int"),
    ],
)
def test_impossible_variables_are_refused_before_anything_is_changed(
    tmp_path: Path, variables: dict[str, Any], relays: dict[str, Any], message: str
) -> None:
    # A dry run: if it were not refused, the hosts of this test are the machine that runs it.
    hosts = {"app01": None, "pkgs01": None}
    done = play(tmp_path, ROOT / "playbooks/relay.yml", "--check", hosts=hosts, relays=relays, variables=variables)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split()), done.stdout
    assert "changed=0" in done.stdout
    assert "changed: [" not in done.stdout
