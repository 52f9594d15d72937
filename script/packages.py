"""Debian's packages that tests need beside Python: installed where commands of theirs are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from environment import SetupError

# The package of each command that is called and is not in Debian's minimum. A test holds them against the files.
UNIT = {
    "chromium": "chromium",
    "faketime": "faketime",
    "logrotate": "logrotate",
    "promtool": "prometheus",
    "sqlite3": "sqlite3",
    "ss": "iproute2",
    "systemd-analyze": "systemd",
}
"""For tests/."""
BROKER = {"epmd": "erlang-base", "rabbitmq-server": "rabbitmq-server", "rabbitmqctl": "rabbitmq-server"}
"""For the tests of the bridge."""
FRESH = {"debootstrap": "debootstrap", "git": "git"}
"""For the fresh machines of fresh.py."""
MOLECULE = {
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "git": "git",
    # With a registry for the hosts' images it is not needed.
    **({} if os.environ.get("FEDMSG_MOLECULE_REGISTRY") else {"debootstrap": "debootstrap"}),
}
"""For the scenarios, where a container engine answers."""
ENGINE = {"dockerd": "docker.io"}
"""For the scenarios, where no engine answers."""
CLIENT = {"docker": "docker-cli"}
"""Beside the engine; up to Debian 12 that has it."""
SYSTEM_PLACES = "/usr/sbin:/sbin"
"""Where commands are that an ordinary user's PATH may leave out."""
INSTALL_SECONDS = 600


def install(needed: Mapping[str, str], what: str, log: Path) -> None:
    """Install what is missing.

    Args:
        needed: the package of each command.
        what: needs them, for the message.
        log: where apt's output goes.

    Raises:
        SetupError: it cannot be installed here.
    """
    missing = [name for name in needed if not is_there(name)]
    if not missing:
        return
    packages = sorted({needed[name] for name in missing})
    line = f"apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupError(
            f"{what} need {', '.join(missing)}: `{line}` (Debian), "
            "or the packages of another system that have these commands"
        )
    print(f"   {line} ...", flush=True)
    apt = ["apt-get", "--quiet", "--yes", "--no-install-recommends", "install", *packages]
    update = ["apt-get", "--quiet", "update"]
    if any(logged(log, *command, seconds=INSTALL_SECONDS) != 0 for command in (update, apt)):
        raise SetupError(f"`{line}` failed, see {log}")


def is_there(command: str) -> bool:
    return shutil.which(command, path=f"{os.environ['PATH']}:{SYSTEM_PLACES}") is not None


def logged(log: Path, *command: str, seconds: int) -> int:
    """Run a command that asks nothing.

    Args:
        log: where its output goes.
        command: the command.
        seconds: how long it may take.

    Returns:
        Its exit code; 124 when it took longer, as timeout(1) says it.
    """
    with log.open("ab") as output:
        try:
            return subprocess.run(
                command,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return 124
