"""The spool of this host for ``check-config``: whether scripts can use it, and whether it is delivered."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from fedmsg_relay import spool
from fedmsg_relay.commands.textfile import oldest

DELAYED_SECONDS = 900.0
"""Time for which a message waits before it is said that nothing delivers the spool."""

PATH_UNIT, TIMER_UNIT, SERVICE_UNIT = (f"fedmsg-relay-spool.{kind}" for kind in ("path", "timer", "service"))
"""The units of the role. The first two start the third."""

_SYSTEMCTL_SECONDS = 10.0


class SpoolState(NamedTuple):
    """The state of a spool.

    Attributes:
        directory: its path; empty where the config wants none.
        unusable: why scripts cannot put messages there; empty if they can.
        waiting: messages that wait there; None where that cannot be seen.
        undelivered: why it is not delivered, as far as that can be seen from here; empty otherwise.
    """

    directory: str
    unusable: str = ""
    waiting: int | None = None
    undelivered: str = ""


def look(config: Mapping[str, Any]) -> SpoolState:
    """Look at the spool that a config names.

    Args:
        config: the merged global config.

    Raises:
        ConfigError: no directory can have this name.
    """
    path = spool.place(config)
    if not path:
        return SpoolState("")
    if why := _unusable(path):
        return SpoolState(path, why)
    try:
        waiting = spool.pending(path)
    except OSError:  # this user may write there, and not look
        return SpoolState(path, undelivered=_units(path))
    faults = [_units(path)]
    since = oldest(waiting)
    if since and time.time() - since > DELAYED_SECONDS:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
        faults.append(f"a message has waited since {moment}; `fedmsg-relay spool deliver` says why")
    return SpoolState(path, "", len(waiting), "; ".join(fault for fault in faults if fault))


def describe(state: SpoolState) -> list[str]:
    """Write out a state for a person.

    Args:
        state: from :func:`look`.

    Returns:
        Lines.
    """
    if not state.directory:
        return ["spool     none, so a script ends with 69 if no relay takes its message"]
    lines = [f"spool     {state.directory}" + ("" if state.waiting is None else f", {state.waiting} waiting")]
    if state.unusable:
        lines.append(f"spool cannot be used: {state.unusable}")
    if state.undelivered:
        lines.append(f"spool is not delivered: {state.undelivered}")
    return lines


def _unusable(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 -- as spool.py has it
    except OSError as error:
        return error.strerror or str(error)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a directory"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"this user may not write there (mode {mode:o}, user {found.st_uid})"
    if os.geteuid() == 0 and mode & 0o003 != 0o003:
        return f"not all users may write there (mode {mode:o}, user {found.st_uid})"
    return ""


def _units(path: str) -> str:
    """Ask systemd about the units of the role; empty also where it cannot be asked."""
    program = shutil.which("systemctl")
    if program is None:
        return ""
    command = [program, "show", "--property=Id,ActiveState,ExecStart", PATH_UNIT, TIMER_UNIT, SERVICE_UNIT]
    try:
        done = subprocess.run(  # noqa: S603 -- nothing in it is anybody's input
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SYSTEMCTL_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    units: dict[str, dict[str, str]] = {}
    for block in done.stdout.split("\n\n"):
        found = dict(line.partition("=")[::2] for line in block.splitlines())
        units[found.get("Id", "")] = found
    if "active" not in {units.get(name, {}).get("ActiveState") for name in (PATH_UNIT, TIMER_UNIT)}:
        return f"neither {PATH_UNIT} nor {TIMER_UNIT} is active"
    words = units.get(SERVICE_UNIT, {}).get("ExecStart", "").split()
    other = words[words.index("--spool") + 1] if "--spool" in words[:-1] else path
    return "" if os.path.normpath(other) == os.path.normpath(path) else f"{SERVICE_UNIT} delivers {other}"
