"""The role's path file for the host's own Python: scripts import fedmsg_relay, and no module is hidden."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import jinja2
import pytest

ROLE = Path(__file__).parents[2] / "roles/fedmsg_relay"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
LOOK = "import zmq, fedmsg_relay; print(zmq.where, fedmsg_relay.where)"


class OtherPython:
    """A Python without packages, with what the role writes into it, and a release in which to find the modules."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.site = directory / "venv/lib" / f"python{PYTHON}" / "site-packages"
        venv.create(directory / "venv", symlinks=True)
        for name in ("fedmsg_relay", "zmq"):
            self.module(directory / "opt/current/lib" / f"python{PYTHON}" / "importable", name, "release")
        template = jinja2.Template((ROLE / "templates/fedmsg-relay.pth.j2").read_text())
        names = {
            "__fedmsg_relay_header": "# x",
            "__fedmsg_relay_home": directory / "opt",
            "__fedmsg_relay_python_series": PYTHON,
        }
        (self.site / "fedmsg-relay.pth").write_text(template.render(names))

    def module(self, folder: Path, name: str, where: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(f"where = {where!r}\n")

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        python = self.directory / "venv/bin/python"
        return subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def other(tmp_path: Path) -> OtherPython:
    return OtherPython(tmp_path)


def test_a_host_without_the_modules_finds_those_of_the_release(other: OtherPython) -> None:
    ran = other.run(LOOK)
    assert (ran.stdout, ran.stderr) == ("release release\n", "")


def test_a_module_that_the_host_has_is_not_hidden(other: OtherPython) -> None:
    later = other.directory / "later"  # as the packages' directory comes after that of the administrator
    (other.site / "zz.pth").write_text(f"{later}\n")
    other.module(later, "zmq", "host")
    ran = other.run(LOOK)
    assert (ran.stdout, ran.stderr) == ("host release\n", "")


def test_a_python_whose_release_has_gone_works_as_before(other: OtherPython) -> None:
    (other.directory / "opt").rename(other.directory / "gone")
    ran = other.run("import json, fedmsg_relay")
    assert ran.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'fedmsg_relay'"
    ran = other.run("import json")
    assert (ran.returncode, ran.stderr) == (0, "")
