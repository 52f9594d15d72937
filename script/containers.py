"""The container engine that the molecule scenarios need: installed, started, stopped again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import packages
from environment import ROOT, SetupError

START_DOCKER = ROOT / "molecule" / "shared" / "start-docker"
DOCKERD_PID = Path("/run/docker.pid")
HOSTS_PYTHON = (3, 11)
"""Stock fedmsg's wheels for the hosts are made by a Python like theirs."""
INFO_SECONDS = 30
START_SECONDS = 90
STOP_SECONDS = 60


def look_at_python(version: tuple[int, int]) -> None:
    """Look that the wheels for the test hosts can be made here.

    Args:
        version: of the Python that makes them.

    Raises:
        SetupError: they cannot.
    """
    if version != HOSTS_PYTHON:
        here, there = (".".join(map(str, python)) for python in (version, HOSTS_PYTHON))
        raise SetupError(
            f"the molecule scenarios need Python {there}, as on Debian 12, and this is {here}: "
            "run script/test molecule on Debian 12; the other parts run here"
        )


class Engine:
    """The docker daemon: `stop` ends it only if `start` had to start it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._dockerd: int | None = None

    def start(self) -> None:
        """Make sure that an engine answers: a client alone may be there for a remote engine.

        Raises:
            SetupError: there is no engine here, and none can be installed.
        """
        self._install(packages.MOLECULE)
        if self._answers():
            return
        if address := os.environ.get("DOCKER_HOST"):
            raise SetupError(f"docker does not answer at DOCKER_HOST={address}: start it there, or unset DOCKER_HOST")
        self._install(packages.ENGINE)
        self._install(packages.CLIENT)
        if packages.logged(self._log, str(START_DOCKER), seconds=START_SECONDS) != 0:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise SetupError(lines[-1] if lines else f"{START_DOCKER} failed")
        # Where an init runs, dockerd is its service and not ours to stop.
        if not Path("/run/systemd/system").is_dir():
            self._dockerd = int(DOCKERD_PID.read_text())

    def stop(self) -> None:
        if self._dockerd is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._dockerd, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                os.kill(self._dockerd, 0)
                time.sleep(0.1)
            print(f"   dockerd ({self._dockerd}) did not end within {STOP_SECONDS} s", flush=True)
        self._dockerd = None

    def _answers(self) -> bool:
        return packages.is_there("docker") and packages.logged(self._log, "docker", "info", seconds=INFO_SECONDS) == 0

    def _install(self, needed: Mapping[str, str]) -> None:
        packages.install(needed, "the molecule scenarios", self._log)
