"""Commands of a user who may not look where they look: one line says so, and nothing is claimed that was not seen."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fedmsg_relay.errors import EX_CONFIG, EX_UNAVAILABLE, ConfigError
from fedmsg_relay.runtime import paths
from harness import Host, Ran

LIKE_OTHERS = "setpriv --bounding-set=-dac_override,-dac_read_search" if os.geteuid() == 0 else ""
"""Root may read everything, with its capabilities."""
HOMELESS = {"RUNTIME_DIRECTORY": "", "STATE_DIRECTORY": ""}


def run(host: Host, command: str, **env: str) -> Ran:
    return host.run("/bin/sh", "-c", f"exec {LIKE_OTHERS} {command}", env=env)


@pytest.fixture
def closed(host: Host) -> Path:
    path = host.directory / "closed"
    path.mkdir()
    path.chmod(0)
    return path


@pytest.mark.parametrize(
    "command",
    [
        *(
            f"journal {name}"
            for name in ("ls", "show 1", "tail", "export", "waiting", "quarantine", "check", "convert")
        ),
        *("expect 192.0.2.1", "bridge acknowledge", "bridge retry"),
    ],
)
@pytest.mark.parametrize("place", ["STATE_DIRECTORY", "HOME"])
def test_a_state_directory_that_is_closed_to_this_user(host: Host, closed: Path, place: str, command: str) -> None:
    ran = run(host, f"fedmsg-relay {command}", **{**HOMELESS, place: str(closed)})
    assert (ran.code, ran.stdout) == (EX_UNAVAILABLE, "")
    assert str(closed) in ran.one_error_line()
    assert "Permission denied" in ran.one_error_line()


@pytest.mark.parametrize("options", ["", " --json"])
def test_plugins_say_it_on_their_own_line(host: Host, closed: Path, options: str) -> None:
    ran = run(host, f"fedmsg-relay bridge status{options}", **{**HOMELESS, "STATE_DIRECTORY": str(closed)})
    assert (ran.code, ran.stderr) == (3, "")
    assert f"{closed}/bridge.db: Permission denied" in ran.stdout
    ran = run(host, f"fedmsg-relay status{options}", **{**HOMELESS, "HOME": str(closed)})
    assert (ran.code, ran.stderr, len(ran.stdout.splitlines())) == (2, "", 1)
    assert "does not answer" in ran.stdout


SETTINGS = """
from pathlib import Path
from fedmsg_relay.commands import relay
from fedmsg_relay.daemon import settings
settings.DEFAULT_PATH = Path("closed/relay.toml")
raise SystemExit(relay.main())
"""


def test_settings_that_cannot_be_read_do_not_count_as_none(host: Host, closed: Path) -> None:
    program = host.write("program.py", SETTINGS)
    ran = run(host, f"python {program} check-config")
    assert (ran.code, ran.stdout) == (EX_CONFIG, "")
    assert "closed/relay.toml: Permission denied" in ran.one_error_line()
    closed.chmod(0o755)
    assert run(host, f"python {program} check-config").code == 0


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.access", lambda *_: False)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(ConfigError, match="has no home directory: set HOME, or STATE_DIRECTORY"):
        paths.state()


def test_check_config_does_not_call_a_file_read_that_was_left_out(host: Host) -> None:
    closed = host.write("fedmsg.d/zz.py", "config = {}\n")
    closed.chmod(0)
    ran = run(host, "fedmsg-relay check-config --scripts")
    assert ran.code == 0
    installed = host.directory / "fedmsg.d" / "relay.py"
    assert ran.stdout.splitlines()[:2] == [f"read      {installed}", f"left out  {closed}, this user may not read it"]
    told = json.loads(run(host, "fedmsg-relay check-config --scripts --json").stdout)
    assert (told["files"], told["left_out"]) == ([str(installed)], [str(closed)])


def test_a_folder_of_the_config_that_is_closed_is_named(host: Host) -> None:
    folder = host.directory / "fedmsg.d"
    folder.chmod(0)
    for command in ("fedmsg-relay endpoints", "fedmsg-logger --message x"):
        ran = run(host, command)
        assert ran.code == EX_CONFIG
        assert f"{folder} cannot be read" in ran.one_error_line()
    folder.chmod(0o755)
    assert run(host, "fedmsg-relay endpoints").code == 0
