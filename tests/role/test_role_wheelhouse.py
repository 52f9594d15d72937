"""The controller packs the program for a target's Python: all of it or nothing, and anew when the source changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "roles/fedmsg_relay/files/wheelhouse.py"


def run(*arguments: str | Path, python: str | Path = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, SCRIPT, *arguments], capture_output=True, text=True, timeout=110, check=False)


def release(source: Path) -> str:
    done = run("release", source)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout that may be changed."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
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
    first = run("collect", source, into, python, machine)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == "collected"
    wheels = sorted(path.name.partition("-")[0] for path in into.iterdir())
    assert wheels == ["cffi", "cryptography", "fedmsg_relay", "msgspec", "pycparser", "pyzmq"]
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
    assert "set fedmsg_relay_source" in done.stderr
