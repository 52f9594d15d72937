"""The controller packs the program for a target's Python: all of it or nothing, and anew when the source changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "roles/fedmsg_relay/files/wheelhouse.py"


NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
BASE = ["cffi", "cryptography", "fedmsg_relay", "msgspec", "pycparser", "pyzmq"]


def run(
    *arguments: str | Path, python: str | Path = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, SCRIPT, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def release(source: Path) -> str:
    done = run("release", source)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout that may be changed."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    return checkout


def test_a_release_is_named_after_its_content_and_not_its_version_alone(source: Path) -> None:
    before = release(source)
    (source / "src/fedmsg_relay/__pycache__").mkdir()
    (source / "src/fedmsg_relay/__pycache__/cli.cpython-311.pyc").write_bytes(b"anything")
    assert release(source) == before
    with (source / "src/fedmsg_relay/commands/relay.py").open("a") as module:
        module.write("# changed\n")
    after = release(source)
    assert after != before
    assert after.split("+")[0] == before.split("+")[0]


@pytest.mark.parametrize(("python", "machine"), [("3.11", "x86_64"), ("3.13", "x86_64"), ("3.13", "aarch64")])
def test_a_wheelhouse_holds_all_that_a_target_needs_and_is_made_once(
    source: Path, tmp_path: Path, python: str, machine: str
) -> None:
    into = tmp_path / "cache" / release(source) / f"{python}-{machine}"
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    first = run("collect", source, into, python, machine)
    assert first.returncode == 0, first.stderr
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before, "nothing is written there"
    assert first.stdout.strip() == "collected"
    wheels = sorted(path.name.partition("-")[0] for path in into.iterdir())
    assert wheels == BASE
    assert all(machine in path.name or "none-any" in path.name for path in into.iterdir())
    assert run("collect", source, into, python, machine).stdout.strip() == "already there"


def test_a_wheelhouse_for_the_web_process_holds_more(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "cache" / release(source) / "3.13-x86_64-web"
    done = run("collect", "--extra=web", source, into, "3.13", "x86_64")
    assert done.returncode == 0, done.stderr
    wheels = {path.name.partition("-")[0] for path in into.iterdir()}
    assert wheels > {"pyzmq", "fedmsg_relay", "jinja2", "prometheus_client", "starlette", "uvicorn"}


def test_two_runs_at_once_make_one_wheelhouse(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "cache" / release(source) / "3.13-x86_64"
    command: list[str | Path] = [sys.executable, SCRIPT, "collect", source, into, "3.13", "x86_64"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(run.communicate(timeout=110)[0].strip() for run in runs)
    assert said == ["already there", "already there", "collected"]


def test_a_failed_collection_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "cache" / release(source) / "3.13-vax"
    done = run("collect", source, into, "3.13", "vax")
    assert done.returncode != 0
    assert "No matching distribution found" in done.stderr
    assert list(into.parent.iterdir()) == []


def test_a_source_that_changes_meanwhile_is_not_passed_off_as_what_it_was(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "cache" / release(source) / "3.13-x86_64"
    (source / "src/fedmsg_relay/commands/relay.py").write_text("# another\n")
    done = run("collect", source, into, "3.13", "x86_64")
    assert done.returncode != 0
    assert "run again" in done.stderr
    assert not into.exists()


def test_a_controller_without_pip_is_told_what_to_do(source: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    done = run("collect", source, tmp_path / "cache/x/y", "3.13", "x86_64", python=tmp_path / "bare/bin/python")
    assert done.returncode != 0
    assert "has no pip" in done.stderr
    assert "fedmsg_relay_controller_python" in done.stderr


def test_a_directory_that_is_not_a_checkout_is_refused(tmp_path: Path) -> None:
    done = run("release", tmp_path)
    assert done.returncode != 0
    assert "set fedmsg_relay_wheelhouse to a wheelhouse, or fedmsg_relay_source to a checkout" in done.stderr


def pinned(name: str) -> dict[str, tuple[str, int]]:
    """Of each package in a file of requirements/ its version and the number of its hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    blocks = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert len(blocks) == text.count("==")
    return {name: (version, hashes.count("--hash=")) for name, version, hashes in blocks}


def test_every_dependency_is_pinned_to_a_release_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: needed for name, needed in project["optional-dependencies"].items() if name not in {"bench", "dev"}}
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == {"base", *extras}, "run script/pin"
    base = pinned("base")
    for name, needed in {"base": project["dependencies"], **extras}.items():
        pins = base | pinned(name)
        for requirement in map(Requirement, needed):
            version, hashes = pins[canonicalize_name(requirement.name)]
            assert version in requirement.specifier, f"{requirement}: run script/pin"
            assert hashes >= 1


def test_another_pin_is_another_release(source: Path) -> None:
    before = release(source)
    with (source / "requirements/web.txt").open("a") as pins:
        pins.write("# another\n")
    assert release(source) != before


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse of this checkout for two kinds of targets."""
    house = tmp_path_factory.mktemp("packed") / "wheelhouse"
    done = run("pack", ROOT, house, "3.11-x86_64", "3.13-aarch64")
    assert done.returncode == 0, done.stderr
    return house


def test_a_wheelhouse_makes_the_same_release_without_an_index(packed: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "wheelhouse.tar"
    done = run("pack", packed, tarball, "3.11-x86_64", "3.13-aarch64", **NO_INDEX)
    assert done.returncode == 0, done.stderr
    made = release(ROOT)
    assert (release(packed), release(tarball)) == (made, made)
    for python, machine in (("3.11", "x86_64"), ("3.13", "aarch64")):
        into = tmp_path / "cache" / made / f"{python}-{machine}"
        done = run("collect", "--extra", "web", tarball, into, python, machine, **NO_INDEX)
        assert done.returncode == 0, done.stderr
        # Also what only some Pythons need, whatever Python the controller has.
        assert {path.name.partition("-")[0] for path in into.iterdir()} >= {*BASE, "starlette", "typing_extensions"}
    other = run("collect", packed, tmp_path / "cache" / made / "other", "3.12", "x86_64", **NO_INDEX)
    assert other.returncode != 0, "nobody packed it for this Python"
    other = run("collect", "--extra", "else", packed, tmp_path / "cache" / made / "other", "3.11", "x86_64", **NO_INDEX)
    assert f"{packed} has no requirements of else" in other.stderr


def test_a_wheelhouse_with_another_wheel_than_its_pins_is_refused(packed: Path, tmp_path: Path) -> None:
    house, into = shutil.copytree(packed, tmp_path / "wheelhouse"), tmp_path / "cache" / release(packed) / "x"
    for name in ("msgspec", "fedmsg_relay"):
        wheel = next((house / "wheels").glob(f"{name}-*.whl"))
        content = wheel.read_bytes()
        wheel.write_bytes(content + b"x")
        done = run("collect", house, into, "3.11", "x86_64", **NO_INDEX)
        wheel.write_bytes(content)
        assert done.returncode != 0
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert not into.exists()


def test_the_wheel_of_the_program_has_each_file_once_and_no_other(packed: Path) -> None:
    (path,) = (packed / "wheels").glob("fedmsg_relay-*.whl")
    with zipfile.ZipFile(path) as wheel:
        held = [name for name in wheel.namelist() if ".dist-info/" not in name]
    source = ROOT / "src"
    files = {path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    command = source / "fedmsg_relay/fedmsg-spool"
    (script,) = (name for name in held if ".data/scripts/" in name)
    assert Path(script).name == command.name
    assert sorted({*held} - {script}) == sorted(str(path.relative_to(source)) for path in files - {command})
    assert {"fedmsg_relay/py.typed", "fedmsg_relay/web/templates/base.html"} <= {*held}


def test_what_is_not_a_wheelhouse_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no tarball\n")
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "text.tar", "../release")
    for name, why in (("text.tar", "is not a tarball"), ("other.tar", "it has no file release")):
        done = run("release", tmp_path / name)
        assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    assert run("pack", ROOT, tmp_path / "x", "3.13").returncode != 0, "no machine"
