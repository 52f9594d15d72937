"""The container engine for the scenarios: it counts whether one answers, not whether a client is installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import containers
import packages
import pytest
from environment import SetupError

ANSWERS = "#!/bin/sh\nexit 0\n"
ALONE = "#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2\nexit 1\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the whole PATH: all that the scenarios need, but for a client and an engine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "SYSTEM_PLACES", "")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    for name in packages.MOLECULE:
        put(tmp_path / name, ANSWERS)
    return tmp_path


def put(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def start(machine: Path) -> None:
    containers.Engine(machine / "log").start()


def test_a_client_whose_engine_answers_is_enough(machine: Path) -> None:
    put(machine / "docker", ANSWERS)
    start(machine)


@pytest.mark.parametrize("client", [ALONE, None], ids=["a client alone", "no client"])
def test_without_an_engine_one_is_installed(client: str | None, machine: Path) -> None:
    if client:
        put(machine / "docker", client)
    with pytest.raises(SetupError, match=r"the molecule scenarios need dockerd: `apt-get install docker\.io`"):
        start(machine)


def test_as_root_on_debian_the_engine_and_a_missing_client_are_installed(machine: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("packages are installed by root alone: run this test as root")
    installs = '#!/bin/sh\nfor last; do :; done\necho "$last" >>"$0.log"\n'
    put(machine / "apt-get", installs)
    (machine / "sh").symlink_to(shutil.which("sh", path="/bin") or "/bin/sh")
    with pytest.raises(SetupError):
        start(machine)
    assert (machine / "apt-get.log").read_text().split() == ["update", "docker.io", "update", "docker-cli"]


def test_an_engine_elsewhere_that_does_not_answer_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine / "docker", ALONE)
    monkeypatch.setenv("DOCKER_HOST", "tcp://builder:2375")
    with pytest.raises(SetupError, match="DOCKER_HOST=tcp://builder:2375"):
        start(machine)


def test_where_scenarios_cannot_run_one_line_says_what_to_do() -> None:
    containers.look_at_python((3, 11))
    with pytest.raises(SetupError, match=r"need Python 3\.11, as on Debian 12, and this is 3\.13: run .* on Debian 12"):
        containers.look_at_python((3, 13))
