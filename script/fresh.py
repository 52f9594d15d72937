"""Run the README's two commands where nothing is installed: in a new root directory with Debian's minimum.

    fresh.py bookworm|trixie

Only git and Python are added, and what lets this machine reach the package indexes: proxies, certificates, pip's
and apt's settings. The environment is empty otherwise. `script/demo` runs as an ordinary user, `script/test unit`
with some of the tests as root, each in a clone of HEAD of its own.

All of it runs in namespaces of its own, so its processes and mounts end with it. The network is this machine's.
Containers cannot run there, so the scenarios are not part of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import packages
from environment import ROOT, SetupError

CACHE = ROOT / ".cache"
RELEASES = ("bookworm", "trixie")
NEEDED = ("ca-certificates", "git", "python3", "python3-venv")
"""What the README asks for."""
TESTS = (
    "tests/project/test_commands.py",
    "tests/programs/test_clock.py",
    "tests/programs/test_journal_view.py::test_sqlite3_alone_shows_the_newest_messages_of_a_running_relay",
    "tests/programs/test_log.py",
    "tests/programs/test_log_stderr.py",
    "tests/programs/test_slow_listeners.py::test_a_laggard_that_leaves_is_forgotten",
    "tests/programs/test_stock.py",
    "tests/programs/test_web_metrics.py",
    "tests/programs/test_web_page.py",
)
"""Tests that between them call all that script/test unit installs: a test holds them against it."""
USER = "visitor"
STEPS = ("make it", "script/demo as an ordinary user", "script/test unit as root")
DONE = "done:"
"""Begins the line that a step which passed leaves in the output."""
STEP_SECONDS = 600
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# How this machine reaches package indexes. Of the variables those that name a file have it copied too.
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES")
VARIABLES = (*PROXIES, *map(str.upper, PROXIES), *PIP)
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")

NAMESPACES = ("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child")
ENTER = """\
set -e
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/dev/shm"
shift
status=0
chroot "$@" || status=$?
exit "$status"
"""
"""The first process of the namespaces. It stays, as it has to reap what the command leaves behind."""


class FreshMachine:
    """A root directory with Debian's minimum and what the README asks for."""

    def __init__(self, release: str) -> None:
        self._release = release
        self.root = root_of(release)

    def make(self) -> None:
        self.remove()
        base = captured(str(ROOT / "script" / "debian-base"), self._release)
        self.root.mkdir(parents=True)
        run("tar", "-C", str(self.root), "-xf", base)
        self.root.chmod(0o755)
        self._connect()
        self.run("apt-get", "--quiet", "update")
        self.run("apt-get", "--quiet", "--yes", "--no-install-recommends", "install", *NEEDED)
        # The package made its own out of Debian's certificates alone.
        self._connect()
        self.run("useradd", "--create-home", "--shell", "/bin/sh", USER)

    def clone(self, user: str) -> str:
        """Clone HEAD into a user's home.

        Returns:
            The clone's path, as it is inside.
        """
        path = f"{home_of(user)}/fedmsg-relay"
        run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), f"{self.root}{path}")
        self.run("chown", "--recursive", f"{user}:", path)
        return path

    def run(self, *command: str, user: str = "root", directory: str = "/", variables: Mapping[str, str] = {}) -> None:
        """Run a command in it, to its end.

        Raises:
            SetupError: it failed.
        """
        inside = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", directory, *command]
        entered = ["sh", "-c", ENTER, "sh", str(self.root), f"--userspec={user}:", str(self.root), *inside]
        passed = {name: os.environ[name] for name in (*VARIABLES, *CERTIFICATES) if name in os.environ}
        run(*NAMESPACES, *entered, env={"PATH": PATHS, "HOME": home_of(user), **passed, **variables})

    def remove(self) -> None:
        """Remove it. The mounts are in namespaces that ended, so nothing but its own files is below it."""
        if self.root.exists():
            shutil.rmtree(self.root)

    def _connect(self) -> None:
        for name in (*FILES, *filter(None, map(os.environ.get, CERTIFICATES))):
            if Path(name).is_file():
                copy = self.root / name.lstrip("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.unlink(missing_ok=True)
                shutil.copyfile(name, copy)
        if shutil.which("apt-config"):
            settings = captured("apt-config", "dump", "Acquire")
            (self.root / "etc/apt/apt.conf.d/99as-outside").write_text(settings + "\n")


def home_of(user: str) -> str:
    return "/root" if user == "root" else f"/home/{user}"


def root_of(release: str) -> Path:
    return CACHE / f"fresh-{release}"


def can_be_made(log: Path) -> None:
    """Make sure that this machine can make one.

    Args:
        log: where apt's output goes.

    Raises:
        SetupError: it cannot.
    """
    if os.geteuid() != 0:
        raise SetupError("fresh machines are root directories, which takes root: run `sudo script/test fresh`")
    packages.install(packages.FRESH, "the fresh machines", log)
    try:
        run(*NAMESPACES, "true")
    except SetupError:
        why = "fresh machines need the right to mount, which root does not have here: "
        raise SetupError(f"{why}give the container CAP_SYS_ADMIN, or run `script/test fresh` outside it") from None


def run(*command: str, env: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, timeout=STEP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SetupError(f"{command[0]} did not end within {STEP_SECONDS} s") from None
    if done.returncode != 0:
        raise SetupError(f"exit {done.returncode} of {' '.join(command[-4:])}")


def captured(*command: str) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=STEP_SECONDS, check=False
    )
    if done.returncode != 0:
        raise SetupError(f"exit {done.returncode} of {' '.join(command)}")
    return done.stdout.strip()


def main(release: str) -> None:
    machine = FreshMachine(release)
    actions: tuple[Callable[[], None], ...] = (
        machine.make,
        lambda: machine.run("script/demo", user=USER, directory=machine.clone(USER)),
        lambda: machine.run("script/test", "unit", *TESTS, directory=machine.clone("root"), variables={"CI": "true"}),
    )
    try:
        for step, action in zip(STEPS, actions, strict=True):
            print(f"== {release}: {step}", flush=True)
            began = time.monotonic()
            action()
            print(f"{DONE} {step} ({time.monotonic() - began:.0f} s)", flush=True)
    finally:
        machine.remove()


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        main(*sys.argv[1:])
    except SetupError as error:
        sys.exit(f"fresh.py: {error}")
