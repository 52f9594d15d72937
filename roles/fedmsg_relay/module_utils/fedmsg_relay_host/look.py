"""Reads the state of a host: what commands answer, and what is installed (:mod:`.installation`)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from .command import Run, attempt, must
from .installation import READ, Found, Places
from .relay import SERVICE
from .service import newest, service_of
from .systemd import seconds, show

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


def addresses(_: Places, run: Run) -> list[str]:
    """List the IP addresses. A bare host may lack ip."""
    code, answer, _stderr = attempt(run, ["ip", "-oneline", "address"])
    return ADDRESS.findall(answer) if code == 0 else []


def config(places: Places, run: Run) -> Found:
    """Execute the global config, as fedmsg does, and take the addresses of relays from it."""
    if not Path(places.config).exists():
        return {"inbound": [], "error": ""}
    python = [sys.executable, "-c", EXECUTE, places.config]
    code, answer, reason = attempt(run, ["timeout", str(EXECUTE_SECONDS), *python])
    try:
        inbound = json.loads(answer.strip().rpartition("\n")[2])
    except ValueError:
        inbound = []
    lines = reason.strip().splitlines() or [f"it does not end within {EXECUTE_SECONDS} s"]
    named = [address for address in inbound if isinstance(address, str)]
    return {"inbound": named if code == 0 else [], "error": "" if code == 0 else lines[-1]}


def pythons(places: Places, run: Run) -> Found:
    """Ask each Python for its version."""
    answers = {path: attempt(run, [path, "-c", SERIES]) for path in places.pythons}
    return {path: answer.strip() for path, (code, answer, _) in answers.items() if code == 0}


def ports(_: Places, run: Run) -> list[list[str]]:
    """List the listening ports. A bare host may lack ss: then a taken port shows when the relay starts."""
    code, answer, _stderr = attempt(run, ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"])
    return [list(found) for found in SOCKET.findall(answer)] if code == 0 else []


def processes(_: Places, run: Run) -> list[str]:
    """List the processes of relays, including stock's. The operators' commands have the same name."""
    answer = must(run, ["ps", "-C", "fedmsg-relay", "-o", "pid=,args="], 0, 1)
    return [line.split()[0] for line in answer.splitlines() if line.strip() and not OPERATORS_COMMAND.search(line)]


def service(_: Places, run: Run) -> Found:
    """Ask systemd about the relay."""
    return service_of(show(run, PROPERTIES, SERVICE)[0])


def spool(places: Places, run: Run) -> Found:
    """Ask systemd about the units that deliver the spool. The path and the timer start the service."""
    units = show(run, SPOOL_PROPERTIES, *places.spool_units)
    return {
        "present": all(unit.get("LoadState") == "loaded" for unit in units),
        "unready": [unit.get("Id", "") for unit in units if not _is_ready(unit)],
    }


def status(places: Places, run: Run) -> Found:
    """Ask the relay how it is."""
    code, answer, reason = attempt(run, [f"{places.home}/current/bin/fedmsg-relay", "status", "--json"])
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    return {"rc": code, "stderr": reason, "answer": told if isinstance(told, dict) and "relay" in told else {}}


def endpoints(places: Places, run: Run) -> Found:
    """Ask the program which relays the config as merged names."""
    _, answer, reason = attempt(run, [f"{places.home}/current/bin/fedmsg-relay", "endpoints", "--json"])
    return {"stdout": answer, "stderr": reason}


def spooled(places: Places, run: Run) -> str:
    """Ask the program what waits in the spool."""
    return attempt(run, [f"{places.home}/current/bin/fedmsg-relay", "spool", "ls", "--json"])[1]


def web(places: Places, run: Run) -> Found:
    """Ask systemd about the web process, and compare it with its files."""
    return _beside(places, run, places.web_unit, places.settings)


def bridge(places: Places, run: Run) -> Found:
    """Ask systemd about the bridge, and compare it with its files. If it is installed, ask itself how it is."""
    found = _beside(places, run, places.bridge_unit, places.bridge_settings)
    if not found["loaded"]:
        return {**found, "rc": 0, "summary": ""}
    code, answer, reason = attempt(run, [f"{places.home}/current/bin/fedmsg-relay", "bridge", "status", "--json"])
    try:
        summary = json.loads(answer)["summary"]
    except (ValueError, TypeError, KeyError):
        summary = reason.strip() or "it does not say how it is"
    return {**found, "rc": code, "summary": summary}


def _beside(places: Places, run: Run, path: str, settings: str) -> Found:
    """Look at a process beside the relay, which has a unit and settings."""
    [shown] = show(run, BESIDE_PROPERTIES, Path(path).name)
    written = newest([Path(path), Path(settings), Path(places.home, "current")])
    return {
        "loaded": shown.get("LoadState") == "loaded",
        "ready": (shown.get("UnitFileState"), shown.get("ActiveState")) == ("enabled", "active"),
        "outdated": shown.get("NeedDaemonReload") == "yes"
        or written > seconds(shown.get("ExecMainStartTimestamp", "")),
    }


ASK = {
    "addresses": addresses,
    "bridge": bridge,
    "config": config,
    "endpoints": endpoints,
    "ports": ports,
    "processes": processes,
    "pythons": pythons,
    "service": service,
    "spool": spool,
    "spooled": spooled,
    "status": status,
    "web": web,
}
"""The subsets of the state that commands answer."""

FOR_PEOPLE = ("endpoints", "spooled")
"""Subsets that only a status needs."""


def look(gather: list[str], places: Places, run: Run) -> Found:
    """Read subsets of the state.

    Args:
        gather: names of the subsets; all that a plan needs if there are none.
        places: where the role's things are.
        run: runs a command.

    Returns:
        What was found, by subset.

    Raises:
        CommandError: a command that has to work does not.
    """
    wanted = gather or [name for name in (*READ, *ASK) if name not in FOR_PEOPLE]
    found: Found = {name: READ[name](places) for name in wanted if name in READ}
    return {**found, **{name: ASK[name](places, run) for name in wanted if name in ASK}}


def _is_ready(unit: dict[str, str]) -> bool:
    if unit.get("LoadState") != "loaded" or unit.get("NeedDaemonReload") != "no":
        return False
    started_by_others = unit.get("Id", "").endswith(".service")
    return started_by_others or (unit.get("UnitFileState"), unit.get("ActiveState")) == ("enabled", "active")
