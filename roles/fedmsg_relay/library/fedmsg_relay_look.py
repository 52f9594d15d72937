#!/usr/bin/python
"""Reads everything that the role judges a host by, in one execution."""

from __future__ import annotations

import base64
import glob
import grp
import json
import os
import pwd
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: fedmsg_relay_look
short_description: Read everything that the role fedmsg_relay judges a host by
description: Reads the state of a host in one execution. Changes nothing, so it also runs in check mode.
options:
  gather:
    description: The subsets to read. Each is a key of the result.
    type: list
    elements: str
    choices:
      - account
      - addresses
      - bridge
      - config
      - configured
      - contents
      - files
      - hostname
      - ports
      - processes
      - pythons
      - releases
      - service
      - spool
      - status
      - web
      - written
    required: true
  home: {description: The directory of the program., type: path, required: true}
  marker: {description: The beginning of a line that every file of the role has., type: str, required: true}
  files: {description: The paths of files that the role writes., type: list, elements: path, required: true}
  patterns: {description: Patterns of more such paths., type: list, elements: str, required: true}
  commands: {description: The paths of links that the role makes., type: list, elements: path, required: true}
  contents: {description: The files to read., type: list, elements: path, required: true}
  config: {description: The path of the global config., type: path, required: true}
  unit: {description: The path of the relay's unit., type: path, required: true}
  web_unit: {description: The path of the web process's unit., type: path, required: true}
  bridge_unit: {description: The path of the bridge's unit., type: path, required: true}
  bridge_settings: {description: The path of the bridge's settings., type: path, required: true}
  settings: {description: The path of the relay's settings., type: path, required: true}
  spool_units: {description: The names of the units that deliver the spool., type: list, elements: str, required: true}
  pythons: {description: Paths of Pythons that the program may use., type: list, elements: path, required: true}
  user: {description: The name of the relay's user and group., type: str, required: true}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Ask the relay, and look for processes of relays
  fedmsg_relay_look: "{{ places | combine({'gather': ['status', 'processes']}) }}"
"""

RETURN = """
account:
  description: Whether the C(user) and the C(group) exist.
  type: dict
  returned: if gathered
addresses:
  description: The IP addresses of the host.
  type: list
  returned: if gathered
bridge:
  description:
    - Whether systemd knows the unit of the bridge (C(loaded)), and whether it runs and starts at boot (C(ready)).
    - C(outdated) if its program, its unit or its settings are newer than the process.
    - C(rc) and C(summary) are what C(fedmsg-relay bridge status) says. The summary is empty without a unit.
  type: dict
  returned: if gathered
config:
  description:
    - C(inbound) are the addresses of relays in the global config, as Python executes it.
    - C(error) is the reason why it cannot be executed. It is empty if it can, or is not there.
  type: dict
  returned: if gathered
configured:
  description: When the global config was written, in seconds since the epoch; 0 if it is not there.
  type: int
  returned: if gathered
contents:
  description: The content of each file in Base64. It is empty if the file cannot be read.
  type: dict
  returned: if gathered
files:
  description: The paths that are there. C(ours) are those of the role and C(foreign) all others.
  type: dict
  returned: if gathered
hostname:
  description: The host's own name.
  type: str
  returned: if gathered
ports:
  description: For each listening TCP port the port, and where known the process and its pid.
  type: list
  returned: if gathered
processes:
  description: The pids of relays, whoever started them.
  type: list
  returned: if gathered
pythons:
  description: For each Python that is there its version, such as 3.11.
  type: dict
  returned: if gathered
releases:
  description:
    - The C(current) link, and the releases C(present), C(complete) and C(used), the newest first.
    - C(web) and C(bridge) are those that have what these processes need.
    - C(home) tells whether the directory of the program exists.
  type: dict
  returned: if gathered
service:
  description: What systemd says of the relay.
  type: dict
  returned: if gathered
spool:
  description: Whether all units of the spool are C(present), and the names of those that are C(unready).
  type: dict
  returned: if gathered
status:
  description: The relay's C(answer), empty if there is none, with C(rc) and C(stderr) of the command.
  type: dict
  returned: if gathered
web:
  description:
    - Whether systemd knows the unit of the web process (C(loaded)), and whether it runs and starts at boot (C(ready)).
    - C(outdated) if its program, its unit or the relay's settings are newer than the process.
  type: dict
  returned: if gathered
written:
  description: When the newer of the unit and the current link was written, in seconds since the epoch.
  type: int
  returned: if gathered
"""

Ran = tuple[int, str, str]
Run = Callable[[list[str]], Ran]
Found = dict[str, Any]

SERVICE = "fedmsg-relay.service"
PROPERTIES = (
    "LoadState,UnitFileState,ActiveState,ActiveEnterTimestamp,StateChangeTimestamp,ExecMainStartTimestamp,MainPID,"
    "FragmentPath,SourcePath,DropInPaths,ExecStart,InvocationID"
)
BESIDE_PROPERTIES = "LoadState,UnitFileState,ActiveState,NeedDaemonReload,ExecMainStartTimestamp"
SPOOL_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,NeedDaemonReload"
COMMANDS = (
    *("bridge", "check-config", "endpoints", "expect", "journal", "probe"),
    *("spool", "status", "tail", "trace", "web"),
)
OPERATORS_COMMAND = re.compile(rf"fedmsg-relay.* ({'|'.join(COMMANDS)})( |$)")
SOCKET = re.compile(r':(\d+) +\S+(?: +users:\(\("([^"]+)",pid=(\d+))?')
ADDRESS = re.compile(r"\binet6? ([0-9A-Fa-f.:]+)")
EXECUTE = """import json, runpy, sys
inbound = runpy.run_path(sys.argv[1]).get("config", {}).get("relay_inbound", [])
print("\\n" + json.dumps([inbound] if isinstance(inbound, str) else list(inbound)))
"""
EXECUTE_SECONDS = 10
SERIES = "import sys; print('%d.%d' % sys.version_info[:2])"
NOT_FOUND = 127


class LookError(Exception):
    """A command that has to work and does not."""


@dataclass(frozen=True)
class Places:
    """Where the role's things are."""

    home: str
    marker: str
    files: list[str]
    patterns: list[str]
    commands: list[str]
    contents: list[str]
    config: str
    unit: str
    web_unit: str
    bridge_unit: str
    bridge_settings: str
    settings: str
    spool_units: list[str]
    pythons: list[str]
    user: str


def account(places: Places) -> Found:
    """Look for the relay's user and group."""
    return {"user": _exists(pwd.getpwnam, places.user), "group": _exists(grp.getgrnam, places.user)}


def contents(places: Places) -> Found:
    """Read files; one that cannot be read counts as empty."""
    found = {}
    for path in places.contents:
        try:
            found[path] = base64.b64encode(Path(path).read_bytes()).decode()
        except OSError:
            found[path] = ""
    return found


def files(places: Places) -> Found:
    """Tell the role's files and links from those of others."""
    more = [path for pattern in places.patterns for path in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute
    present = [path for path in places.files + places.commands + more if os.path.lexists(path)]
    ours = [
        path
        for path in present
        if (_leads(path, places) if path in places.commands else _is_marked(path, places.marker))
    ]
    return {"ours": ours, "foreign": [path for path in present if path not in ours]}


def hostname(_: Places) -> str:
    """Get the name from which scripts make keys of the config."""
    return os.uname().nodename


def configured(places: Places) -> int:
    """Find when the config was written."""
    try:
        return int(Path(places.config).stat().st_mtime)
    except FileNotFoundError:
        return 0


def releases(places: Places) -> Found:
    """Find the release in use and those that are installed."""
    folder = Path(places.home, "releases")
    present = [path for path in _sorted(folder) if path.is_dir() and not path.is_symlink() and path.name[0] != "."]
    used = [(path / ".used", path) for path in present if (path / ".used").is_file()]
    newest_first = sorted(used, key=lambda pair: pair[0].stat().st_mtime, reverse=True)
    return {
        "home": Path(places.home).is_dir(),
        "current": _target(f"{places.home}/current"),
        "present": [str(path) for path in present],
        "complete": [str(path) for path in present if (path / ".complete").exists()],
        **{extra: [str(path) for path in present if (path / f".{extra}").exists()] for extra in ("web", "bridge")},
        "used": [str(path) for _, path in newest_first],
    }


def written(places: Places) -> int:
    """Find when the newest of the unit and the current link was written."""
    return _newest(places.unit, f"{places.home}/current")


def addresses(_: Places, run: Run) -> list[str]:
    """List the IP addresses. A bare host may lack ip."""
    code, answer, _stderr = _try(run, ["ip", "-oneline", "address"])
    return ADDRESS.findall(answer) if code == 0 else []


def config(places: Places, run: Run) -> Found:
    """Execute the global config, as fedmsg does, and take the addresses of relays from it."""
    if not Path(places.config).exists():
        return {"inbound": [], "error": ""}
    python = [sys.executable, "-c", EXECUTE, places.config]
    code, answer, reason = _try(run, ["timeout", str(EXECUTE_SECONDS), *python])
    try:
        inbound = json.loads(answer.strip().rpartition("\n")[2])
    except ValueError:
        inbound = []
    lines = reason.strip().splitlines() or [f"it does not end within {EXECUTE_SECONDS} s"]
    named = [address for address in inbound if isinstance(address, str)]
    return {"inbound": named if code == 0 else [], "error": "" if code == 0 else lines[-1]}


def pythons(places: Places, run: Run) -> Found:
    """Ask each Python for its version."""
    answers = {path: _try(run, [path, "-c", SERIES]) for path in places.pythons}
    return {path: answer.strip() for path, (code, answer, _) in answers.items() if code == 0}


def ports(_: Places, run: Run) -> list[list[str]]:
    """List the listening ports. A bare host may lack ss: then a taken port shows when the relay starts."""
    code, answer, _stderr = _try(run, ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"])
    return [list(found) for found in SOCKET.findall(answer)] if code == 0 else []


def processes(_: Places, run: Run) -> list[str]:
    """List the processes of relays, including stock's. The operators' commands have the same name."""
    answer = _must(run, ["ps", "-C", "fedmsg-relay", "-o", "pid=,args="], 0, 1)
    return [line.split()[0] for line in answer.splitlines() if line.strip() and not OPERATORS_COMMAND.search(line)]


def service(_: Places, run: Run) -> Found:
    """Ask systemd about the relay. It knows neither process nor start time of a relay that an init script started."""
    answer = _must(run, ["systemctl", "show", "--timestamp=unix", f"--property={PROPERTIES}", SERVICE], 0)
    shown = properties(answer)
    active = shown.get("ActiveState") == "active"
    times = [shown.get(key, "").lstrip("@") for key in ("ExecMainStartTimestamp", "ActiveEnterTimestamp")]
    return {
        "loaded": shown.get("LoadState") == "loaded",
        "started": next((int(time) for time in times if time.isdigit()), 0) if active else 0,
        "pid": int(shown.get("MainPID") or 0),
        "properties": shown,
    }


def spool(places: Places, run: Run) -> Found:
    """Ask systemd about the units that deliver the spool. The path and the timer start the service."""
    answer = _must(run, ["systemctl", "show", f"--property={SPOOL_PROPERTIES}", *places.spool_units], 0)
    units = [properties(block) for block in answer.strip().split("\n\n")]
    return {
        "present": all(unit.get("LoadState") == "loaded" for unit in units),
        "unready": [unit.get("Id", "") for unit in units if not _is_ready(unit)],
    }


def status(places: Places, run: Run) -> Found:
    """Ask the relay how it is."""
    code, answer, reason = _try(run, [f"{places.home}/current/bin/fedmsg-relay", "status", "--json"])
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    return {"rc": code, "stderr": reason, "answer": told if isinstance(told, dict) and "relay" in told else {}}


def web(places: Places, run: Run) -> Found:
    """Ask systemd about the web process, and compare it with its files."""
    return _beside(places, run, places.web_unit, places.settings)


def bridge(places: Places, run: Run) -> Found:
    """Ask systemd about the bridge, and compare it with its files. If it is installed, ask itself how it is."""
    found = _beside(places, run, places.bridge_unit, places.bridge_settings)
    if not found["loaded"]:
        return {**found, "rc": 0, "summary": ""}
    code, answer, reason = _try(run, [f"{places.home}/current/bin/fedmsg-relay", "bridge", "status", "--json"])
    try:
        summary = json.loads(answer)["summary"]
    except (ValueError, TypeError, KeyError):
        summary = reason.strip() or "it does not say how it is"
    return {**found, "rc": code, "summary": summary}


def _beside(places: Places, run: Run, path: str, settings: str) -> Found:
    """Look at a process beside the relay, which has a unit and settings."""
    unit = Path(path).name
    shown = properties(
        _must(run, ["systemctl", "show", "--timestamp=unix", f"--property={BESIDE_PROPERTIES}", unit], 0)
    )
    started = shown.get("ExecMainStartTimestamp", "").lstrip("@")
    newest = _newest(path, settings, f"{places.home}/current")
    return {
        "loaded": shown.get("LoadState") == "loaded",
        "ready": (shown.get("UnitFileState"), shown.get("ActiveState")) == ("enabled", "active"),
        "outdated": shown.get("NeedDaemonReload") == "yes" or newest > int(started if started.isdigit() else 0),
    }


def properties(answer: str) -> dict[str, str]:
    """Parse properties as ``systemctl show`` writes them.

    Args:
        answer: lines such as ``MainPID=17``. A key may come several times.

    Returns:
        The values by key. Several values of one key have a space between them.
    """
    shown: dict[str, str] = {}
    for line in answer.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            shown[key] = f"{shown[key]} {value}" if key in shown else value
    return shown


READ = {
    "account": account,
    "configured": configured,
    "contents": contents,
    "files": files,
    "hostname": hostname,
    "releases": releases,
    "written": written,
}
ASK = {
    "addresses": addresses,
    "bridge": bridge,
    "config": config,
    "ports": ports,
    "processes": processes,
    "pythons": pythons,
    "service": service,
    "spool": spool,
    "status": status,
    "web": web,
}


def look(gather: list[str], places: Places, run: Run) -> Found:
    """Read subsets of the state.

    Args:
        gather: names of the subsets.
        places: where the role's things are.
        run: runs a command.

    Returns:
        What was found, by subset.

    Raises:
        LookError: a command that has to work does not.
    """
    found: Found = {name: READ[name](places) for name in gather if name in READ}
    return {**found, **{name: ASK[name](places, run) for name in gather if name in ASK}}


def _is_ready(unit: dict[str, str]) -> bool:
    if unit.get("LoadState") != "loaded" or unit.get("NeedDaemonReload") != "no":
        return False
    started_by_others = unit.get("Id", "").endswith(".service")
    return started_by_others or (unit.get("UnitFileState"), unit.get("ActiveState")) == ("enabled", "active")


def _is_ours(path: str, places: Places) -> bool:
    return _leads(path, places) if path in places.commands else _is_marked(path, places.marker)


def _is_marked(path: str, marker: str) -> bool:
    """Whether the role wrote the file. It writes no links."""
    if os.path.islink(path) or not os.path.isfile(path):  # noqa: PTH113, PTH114
        return False
    try:
        return any(line.startswith(marker) for line in Path(path).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return False


def _leads(path: str, places: Places) -> bool:
    return _target(path).startswith(f"{places.home}/")


def _newest(*paths: str) -> int:
    """When the newest of the files and links was written, in whole seconds; 0 if none is there."""
    return max([int(os.lstat(path).st_mtime) for path in paths if os.path.lexists(path)], default=0)


def _target(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - the exact text
    except OSError:
        return ""


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _exists(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


def _try(run: Run, command: list[str]) -> Ran:
    try:
        return run(command)
    except OSError as error:
        return NOT_FOUND, "", f"{command[0]}: {error.strerror}"


def _must(run: Run, command: list[str], *accepted: int) -> str:
    code, answer, reason = _try(run, command)
    if code not in accepted:
        raise LookError(f"{' '.join(command)}: {reason.strip() or f'exit code {code}'}")
    return answer


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    paths: dict[str, Any] = {"type": "list", "elements": "path", "required": True}
    names: dict[str, Any] = {"type": "list", "elements": "str", "required": True}
    module = AnsibleModule(
        {
            "gather": {**names, "choices": sorted([*READ, *ASK])},
            "home": path,
            "marker": {"type": "str", "required": True},
            "files": paths,
            "patterns": names,
            "commands": paths,
            "contents": paths,
            "config": path,
            "unit": path,
            "web_unit": path,
            "bridge_unit": path,
            "bridge_settings": path,
            "settings": path,
            "spool_units": names,
            "pythons": paths,
            "user": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> Ran:
        ran: Ran = module.run_command(command, cwd="/", expand_user_and_vars=False, handle_exceptions=False)
        return ran

    gather = module.params.pop("gather")
    try:
        found = look(gather, Places(**module.params), run)
    except LookError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
