"""Hosts for the role's plan, without hosts: what each would tell, and an inventory over them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from fedmsg_relay_host.service import service_of
from fedmsg_relay_plan.plan import Plan, plan
from fedmsg_relay_plan.world import World, read

MARKER = "# Ansible managed"
CONFIG = "/etc/fedmsg.d/relay.py"
SETTINGS = "/etc/fedmsg-relay/relay.toml"
UNIT = "/etc/systemd/system/fedmsg-relay.service"
WEB = "/etc/systemd/system/fedmsg-relay-web.service"
BRIDGE = "/etc/systemd/system/fedmsg-relay-bridge.service"
BRIDGE_SETTINGS = "/etc/fedmsg-relay/bridge.toml"
KEYS = "/etc/fedmsg-relay/keys"
FIREWALL = "/etc/firewalld/services/fedmsg-relay.xml"
PKI = "/etc/pki/fedmsg"
SPOOL_UNIT = "/etc/systemd/system/fedmsg-relay-spool.path"
COMMAND = "/usr/local/bin/fedmsg-relay"
STOCK_UNIT = "/usr/lib/systemd/system/fedmsg-relay.service"
RELEASE = "releases/2"
PORTS = {"inbound": "9941", "outbound": "3999", "submit": "9942"}


@dataclass
class Machine:
    """A host as it really is.

    Attributes:
        name: in the inventory; also its only address.
        answers: whether Ansible reaches it.
        config: the relays that its global config names; None if it has none.
        their_config: whether somebody else wrote that.
        unit: ``ours``, the path of a stock relay's, or nothing.
        running: whether the unit runs.
        starting: whether a run that looks at it finds it still starting, although it runs.
        enabled: whether it starts at boot.
        upstream: what the running relay is chained to.
        written: what its relay.toml chains it to; None if it has no relay.toml.
        ports: those that the running relay is bound to.
        waiting: messages that its stopped relay has not passed on.
        release: the program in use.
        complete: the programs installed.
        spool: whether it delivers its spool.
        commands: whether the inventory gives it the commands.
        used: whether peers are connected to its relay.
        visited: whether a config has sent peers to its relay at some time.
        stuck: whether no config can be written here.
        broken: whether no message comes through a relay that is started here.
        web: whether the web process runs beside its relay.
        bridge: whether a bridge runs beside its relay.
        bridge_differs: whether that has other settings than it is to have.
        ports_open: whether firewalld has the role's service.
        keys: the keys and certificates that the role has written.
        policy_read: when the relay has read its config, which was written at 100.
        compared: how its keys differ from those of the controller.
        more: more of what ``fedmsg_relay_look`` finds here.
    """

    name: str
    answers: bool = True
    config: tuple[str, ...] | None = None
    their_config: bool = False
    unit: str = ""
    running: bool = False
    starting: bool = False
    enabled: bool = True
    upstream: tuple[str, ...] = ()
    written: tuple[str, ...] | None = None
    ports: dict[str, str] = field(default_factory=lambda: dict(PORTS))
    waiting: int = 0
    release: str = ""
    complete: tuple[str, ...] = ()
    spool: bool = False
    commands: bool = True
    used: bool = False
    visited: bool = False
    stuck: bool = False
    broken: bool = False
    web: bool = False
    bridge: bool = False
    bridge_differs: bool = False
    ports_open: bool = False
    keys: tuple[str, ...] = ()
    policy_read: int = 100
    compared: dict[str, list[str]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether a relay here publishes by itself."""
        return self.running and not self.upstream


def relay(name: str, *config: str, **more: Any) -> Machine:
    """A host with our relay, well and publishing by itself; with `upstream` chained."""
    machine = scripts(name, *(config or (name,)))
    machine.unit, machine.running = "ours", True
    machine.written = machine.upstream = more.pop("upstream", ())
    return _with(machine, more)


def scripts(name: str, *config: str, **more: Any) -> Machine:
    """A host without a relay, well."""
    return _with(Machine(name, config=config, release=RELEASE, complete=(RELEASE,), spool=True), more)


def _with(machine: Machine, more: dict[str, Any]) -> Machine:
    for key, value in more.items():
        assert hasattr(machine, key), key
        setattr(machine, key, value)
    return machine


def binds(machine: Machine, ports: dict[str, str]) -> dict[str, list[str]]:
    return {endpoint: [f"tcp://{machine.name}:{port}"] for endpoint, port in ports.items()}


def config_text(relays: tuple[str, ...]) -> str:
    return f"{MARKER}\nconfig = {{'relay_inbound': {[f'tcp://{relay}:9941' for relay in relays]!r}}}\n"


def settings_text(machine: Machine) -> str:
    """Its relay.toml: JSON's lists are TOML's."""
    if machine.written is None:
        return ""
    tables = {"bind": binds(machine, machine.ports)}
    if machine.written:
        tables["upstream"] = upstream(machine.written)
    return MARKER + "".join(
        f"\n[{table}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        for table, keys in tables.items()
    )


def upstream(relays: tuple[str, ...]) -> dict[str, list[str]]:
    return {
        "submit": [f"tcp://{relay}:9942" for relay in relays],
        "outbound": [f"tcp://{relay}:3999" for relay in relays],
    }


def status_of(machine: Machine) -> dict[str, Any]:
    """What its relay answers; only ours does."""
    if not machine.running or machine.starting or machine.unit != "ours":
        return {}
    return {
        "relay": {"pid": 17},
        "endpoints": {endpoint: [f"tcp://*:{port}"] for endpoint, port in machine.ports.items()},
        "upstream": upstream(machine.upstream) if machine.upstream else None,
        "peers": {"publishers": [], "submitters": [], "listeners": []},
    }


def shown(machine: Machine) -> dict[str, str]:
    """What systemd says of its relay's unit."""
    active = ("activating" if machine.starting else "active") if machine.running else "inactive"
    return {
        "ActiveState": active,
        "ExecMainStartTimestamp": "@100" if machine.running else "",
        "ExecStart": "{ path=/usr/bin/fedmsg-relay ; argv[]=/usr/bin/fedmsg-relay ; ignore_errors=no }",
        "FragmentPath": UNIT if machine.unit == "ours" else machine.unit,
        "LoadState": "loaded" if machine.unit else "not-found",
        "MainPID": "17" if machine.running else "0",
        "StateChangeTimestamp": f"@{machine.policy_read}",
        "UnitFileState": "enabled" if machine.enabled else "disabled",
    }


def looked(machine: Machine) -> dict[str, Any]:
    """What fedmsg_relay_look returns there."""
    ours = machine.unit == "ours"
    config = config_text(machine.config) if machine.config is not None else ""
    unit_text = f"{MARKER}\nunit" if ours else ""
    spool_text = f"{MARKER}\nspool" if machine.spool else ""
    contents = {CONFIG: config, SETTINGS: settings_text(machine), UNIT: unit_text, SPOOL_UNIT: spool_text}
    contents[WEB] = f"{MARKER}\nweb" if machine.web else ""
    contents[BRIDGE] = f"{MARKER}\nbridge" if machine.bridge else ""
    contents[KEYS] = "".join(f"{line}\n" for line in (MARKER, *machine.keys)) if machine.keys else ""
    contents[FIREWALL] = "<service/>" if machine.ports_open else ""
    present = {CONFIG: config, SETTINGS: settings_text(machine), UNIT: unit_text, WEB: contents[WEB]}
    present |= {BRIDGE: contents[BRIDGE], BRIDGE_SETTINGS: contents[BRIDGE]}
    written = [path for path, text in present.items() if text and not (path == CONFIG and machine.their_config)]
    found = {
        "account": {"user": True, "group": True},
        "addresses": [f"10.0.0.{ord(machine.name[-1])}"],
        "bridge": {"loaded": machine.bridge, "ready": machine.bridge, "outdated": False, "rc": 0, "summary": ""},
        "config": {"inbound": [f"tcp://{relay}:9941" for relay in machine.config or ()], "error": ""},
        "configured": 100 if config else 0,
        "contents": {path: base64.b64encode(text.encode()).decode() for path, text in contents.items()},
        "files": {"ours": written, "foreign": [CONFIG] if machine.their_config else []},
        "ports": [[port, "fedmsg-relay", "17"] for port in machine.ports.values() if machine.running],
        "processes": ["17"] if machine.running else [],
        "pythons": {"/usr/bin/python3": "3.11"},
        "releases": {
            "home": bool(machine.complete),
            "current": machine.release,
            "present": [f"/opt/fedmsg-relay/{path}" for path in machine.complete],
            "complete": [f"/opt/fedmsg-relay/{path}" for path in machine.complete],
            "used": [],
            "web": [],
            "bridge": [],
        },
        "service": service_of(shown(machine)),
        "spool": {"present": machine.spool, "unready": [] if machine.spool else ["fedmsg-relay-spool.path"]},
        "status": {"rc": 0, "stderr": "", "answer": status_of(machine)},
        "web": {"loaded": machine.web, "ready": machine.web, "outdated": False},
        "written": 0,
    }
    return {**found, **machine.more}


@dataclass
class Fleet:
    """An inventory over machines.

    Attributes:
        machines: all hosts, by name.
        group: those that are to run the relay.
        limit: the hosts that a run is limited to; all, if there are none.
        gone: ``fedmsg_relay_gone``.
        tolerated: ``fedmsg_relay_tolerate_unreachable``.
        tags: those of the command line.
        skipped: those of ``--skip-tags``.
        variables: more variables of hosts, by the name of the host.
        keys: the keys and certificates that hosts are to have, by the name of the host.
        kept: those that another tool brings, by the name of the host.
        answers: what hosts have answered to questions.
    """

    machines: dict[str, Machine]
    group: tuple[str, ...]
    limit: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    tolerated: Any = ()
    tags: tuple[str, ...] = ("all",)
    skipped: tuple[str, ...] = ()
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def asked(self) -> list[str]:
        return [name for name in self.machines if not self.limit or name in self.limit]

    def inventory(self, name: str) -> dict[str, Any]:
        """What the inventory says of a host."""
        machine = self.machines[name]
        said = {"names": {"default": name}, "network": "default", "binds": binds(machine, PORTS)}
        return {**said, "commands": machine.commands, **self.variables.get(name, {})}

    def told(self) -> dict[str, Any]:
        """What each host that answers tells."""
        return {name: self.tells(name) for name in self.asked if self.machines[name].answers}

    def tells(self, name: str) -> dict[str, Any]:
        texts = {CONFIG: config_text(self.group), UNIT: f"{MARKER}\nunit", SPOOL_UNIT: f"{MARKER}\nspool"}
        texts |= {WEB: f"{MARKER}\nweb", BRIDGE: f"{MARKER}\nbridge"}
        machine = self.machines[name]
        wanted = {"release": RELEASE, "texts": texts, "keys": self.keys.get(name, []), "kept": self.kept.get(name, [])}
        return {
            "inventory": self.inventory(name),
            "looked": looked(machine),
            "wanted": {**wanted, "bridge_differs": machine.bridge_differs},
            "keys": machine.compared,
            "answers": self.answers.get(name, {}),
        }

    def shared(self) -> dict[str, Any]:
        """What all hosts share."""
        return {
            "group": "fedmsg_relay",
            "relays": list(self.group),
            "names": {name: self.inventory(name)["names"] for name in self.group if name in self.machines},
            "asked": self.asked,
            "inventory": list(self.machines),
            "limited": bool(self.limit),
            "tags": {"run": list(self.tags), "skip": list(self.skipped)},
            "gone": list(self.gone),
            "tolerance": self.tolerated,
            "grace": 300,
            "webs": [f"http://{name}:9943" for name in self.group if self.variables.get(name, {}).get("web")],
            "paths": {
                "config": CONFIG,
                "settings": SETTINGS,
                "unit": UNIT,
                "web": WEB,
                "bridge": BRIDGE,
                "bridge_settings": BRIDGE_SETTINGS,
                "service": [UNIT, SETTINGS],
                "commands": [COMMAND],
                "keys": KEYS,
                "adopted": "/var/backups/fedmsg-relay/adopted",
                "firewall": FIREWALL,
            },
        }

    def world(self) -> World:
        return read(self.shared(), self.told())

    def plan(self) -> Plan:
        """The plan, once the questions are answered."""
        first = plan(self.world())
        for name, question in first.questions.items():
            waiting = self.machines[name].waiting if question.waiting else 0
            self.answers[name] = {"names": [], "peers": [], "waiting": waiting, **self.answers.get(name, {})}
        return plan(self.world()) if first.questions else first


def fleet(*machines: Machine, group: tuple[str, ...] | str, **more: Any) -> Fleet:
    group = (group,) if isinstance(group, str) else group
    return Fleet({machine.name: machine for machine in machines}, group, **more)
