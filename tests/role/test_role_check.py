"""The role's module that lets the program check a config before it is written."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fedmsg_relay_host.candidate import Candidate, check, first_of
from fedmsg_relay_host.command import Ran

PROGRAM = str(Path(sys.executable).parent / "fedmsg-relay")
CONFIG = """config = {
    "endpoints": {"relay_outbound": ["tcp://127.0.0.1:3999"]},
    "relay_inbound": ["tcp://127.0.0.1:9941"],
    "relay_submit": ["tcp://127.0.0.1:9942"],
}
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of all temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def candidate(config: str = CONFIG, settings: str | None = None) -> Candidate:
    return Candidate("/etc/fedmsg.d/relay.py", config, "/etc/fedmsg-relay/relay.toml", settings)


def run(command: list[str]) -> Ran:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    return ran.returncode, ran.stdout, ran.stderr


def test_the_program_is_the_first_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "second").touch()
    (tmp_path / "third").touch()
    assert first_of([str(tmp_path / name) for name in ("first", "second", "third")]) == str(tmp_path / "second")
    assert first_of([str(tmp_path / "first")]) == ""


def test_a_config_is_checked_as_it_would_be_installed(temporary: Path) -> None:
    code, answer, reason = check(PROGRAM, candidate(), run)
    assert (code, reason) == (0, "")
    told = json.loads(answer)
    assert "/etc/fedmsg.d/relay.py" in told["files"]
    assert told["relay_submit"] == ["tcp://127.0.0.1:9942"]
    assert "bind" not in told
    assert list(temporary.iterdir()) == []


def test_settings_are_checked_too(temporary: Path) -> None:
    code, answer, _ = check(PROGRAM, candidate(settings="[limits]\nmax_message_size = 4096\n"), run)
    assert (code, json.loads(answer)["settings"]["limits"]["max_message_size"]) == (0, 4096)
    assert list(temporary.iterdir()) == []


def test_a_refusal_names_the_files_as_they_will_be(temporary: Path) -> None:
    code, _, reason = check(PROGRAM, candidate(settings="[limits]\nmax_message_size = -1\n"), run)
    assert code != 0
    assert "/etc/fedmsg-relay/relay.toml" in reason
    assert str(temporary) not in reason
    assert check(PROGRAM, candidate(config="config = "), run)[0] != 0
    assert list(temporary.iterdir()) == []


def test_the_candidate_is_private_and_a_moved_config_is_read_by_its_name(temporary: Path) -> None:
    seen: list[list[str]] = []

    def note(command: list[str]) -> Ran:
        (directory,) = temporary.iterdir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert sorted(path.name for path in directory.iterdir()) == ["relay.py", "relay.toml"]
        seen.append([argument.replace(str(directory), "") for argument in command])
        return 0, "{}", ""

    check("relay", Candidate("/etc/a.py", CONFIG, "/etc/b.toml", "", moved_config="/etc/old.py"), note)
    stand_ins = ["--stand-in=/relay.py=/etc/a.py", "--stand-in=/etc/a.py=/etc/old.py"]
    assert seen == [["relay", "check-config", "--json", *stand_ins, "--settings=/relay.toml"]]
