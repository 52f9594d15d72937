"""Controllers: a virtual environment for each series of ansible-core whose Python this machine has, and a bare host."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/controllers"
RUN_SECONDS = 280
"""A dry run takes 10 s, and more on a busy machine."""
NEEDS = {
    "2.16": range(10, 13),
    "2.17": range(11, 13),  # the role needs 3.11
    "2.18": range(11, 14),
    "2.19": range(11, 14),
    "2.20": range(12, 15),
    "2.21": range(12, 15),
}
"""Of each series the minor versions of Python 3 that it runs on."""
SYSTEMCTL = """#!/bin/sh
# What systemd says where it knows nothing of the relay.
[ "$1" = show ] || exit 4
for word; do
    case $word in
        *.service | *.path | *.timer) printf 'Id=%s\\nLoadState=not-found\\nMainPID=0\\n\\n' "$word" ;;
    esac
done
"""
"""For a machine that was not booted by systemd. A dry run asks it, and starts nothing."""


@cache
def python_for(series: str) -> str | None:
    """Find a Python that a series of ansible-core runs on.

    Args:
        series: such as 2.21.

    Returns:
        Its path, or None if this machine has none.
    """
    for minor in NEEDS[series]:
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/*/bin/python3.{minor}")
        for python in [shutil.which(f"python3.{minor}"), f"/usr/bin/python3.{minor}", *map(str, pyenv)]:
            if python and Path(python).exists() and _makes_venvs(python):
                return python
    return None


def _makes_venvs(python: str) -> bool:
    done = subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def at_hand(*series: str) -> list[str]:
    """Those of some series that this machine has a Python for."""
    return [one for one in series if python_for(one)]


def controller(series: str) -> Path:
    """Make a controller, once for all tests.

    Args:
        series: one that is at hand.

    Returns:
        The directory of its commands.
    """
    place = CACHE / series
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            python = python_for(series)
            assert python
            subprocess.run([python, "-m", "venv", "--clear", "--without-pip", place], check=True, timeout=RUN_SECONDS)
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", f"--python={place / 'bin/python'}"]
            packages = [f"ansible-core=={series}.*", "cryptography"]
            subprocess.run(
                [*pip, "install", "--quiet", *packages], check=True, timeout=RUN_SECONDS, capture_output=True
            )
            (place / "complete").touch()
    return place / "bin"


class Site:
    """A site's own directory: its inventory, and what it has installed. Its one host is this machine.

    Attributes:
        directory: it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "bin").mkdir()
        (directory / "bin/systemctl").write_text(SYSTEMCTL)
        (directory / "bin/systemctl").chmod(0o755)
        self.inventory({})

    def inventory(self, variables: dict[str, object]) -> None:
        """Write the inventory.

        Args:
            variables: of all hosts.
        """
        local = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        hosts = {"app01": None}
        groups = {"fedmsg": {"hosts": hosts, "vars": {**local, **variables}}, "fedmsg_relay": {"hosts": hosts}}
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(groups))

    def playbook(self, role: str, tasks_from: str = "main") -> str:
        """Write a playbook that uses a role.

        Args:
            role: its name.
            tasks_from: the entry point.

        Returns:
            Its name.
        """
        name = f"{tasks_from}.yml"
        task = {"ansible.builtin.include_role": {"name": role, "tasks_from": tasks_from}}
        play = {"hosts": "fedmsg", "gather_facts": False, "tasks": [{"name": "Use the role", **task}]}
        (self.directory / name).write_text(yaml.safe_dump([play]))
        return name

    def run(self, commands: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of a controller.

        Args:
            commands: the directory of the commands.
            *arguments: the command's name, and its arguments.

        Returns:
            The finished process.
        """
        return subprocess.run(
            [commands / arguments[0], *arguments[1:]],
            cwd=self.directory,
            env={
                **os.environ,
                "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
                "LC_ALL": "C.UTF-8",
                "HOME": str(self.directory),
                "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
                "ANSIBLE_ROLES_PATH": str(self.directory / "roles"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_INVENTORY": str(self.directory / "inventory.yml"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def files(self, place: str) -> dict[str, int]:
        """Say which files are below a directory, and when each was written. Bytecode does not count.

        Args:
            place: the directory.

        Returns:
            The times by path.
        """
        paths = (self.directory / place).rglob("*")
        return {
            str(path): path.stat().st_mtime_ns for path in paths if path.is_file() and "__pycache__" not in path.parts
        }
