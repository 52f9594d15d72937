"""The role removes what is its own, keeps what holds messages, and refuses while others need it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_host import files
from fedmsg_relay_host.command import Ran
from fedmsg_relay_host.files import Files
from fedmsg_relay_host.relay import Relay
from fedmsg_relay_host.removal import Goods, Removal, StaysError, holds_messages, told
from fedmsg_relay_host.spool import deliver, messages, passed_on
from fedmsg_relay_plan.uninstall import named_by, unsent

from host_commands import Commands


@pytest.fixture(autouse=True)
def own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files belong to whoever runs the tests."""
    monkeypatch.setattr(files, "_uid", lambda _: os.getuid())
    monkeypatch.setattr(files, "_gid", lambda _: os.getgid())


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with a relay of the role."""
    for name in ("etc/relay.toml", "etc/unit", "state/journal.db", "opt/current/x", "spool/1.msg", "config/relay.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def removal(host: Path, commands: Callable[[list[str]], Ran], *, check: bool = False) -> Removal:
    return Removal(str(host / "opt"), str(host / "backups"), commands, Files(os.replace, check=check))


def paths(host: Path, *names: str) -> list[str]:
    return [str(host / name) for name in names]


def there(host: Path) -> list[str]:
    return sorted(str(path.relative_to(host)) for path in host.rglob("*") if path.is_file())


class Mover(Commands):
    """A host on which `mv` moves."""

    def __call__(self, command: list[str]) -> Ran:
        if command[0] == "mv":
            Path(command[1]).rename(command[2])
        return super().__call__(command)


def test_everything_goes_and_messages_are_kept(host: Path) -> None:
    commands = Mover()
    removed = removal(host, commands)
    kept = removed.remove(
        Goods(
            absent=paths(host, "etc/relay.toml", "etc/unit", "opt", "spool", "not-there"),
            directories=paths(host, "etc", "config"),
            units=["fedmsg-relay.service"],
            keep={str(host / "state"): "journal", str(host / "spool"): "spool"},
        )
    )
    assert kept == paths(host, "state", "spool")
    place = removed.backup.relative_to(host)
    assert there(host) == [f"{place}/journal/journal.db", f"{place}/spool/1.msg", "config/relay.py"]
    assert removed.backup.stat().st_mode & 0o777 == 0o700
    assert not (host / "etc").exists()
    assert commands.asked[:2] == ["stop fedmsg-relay.service", "disable fedmsg-relay.service"]
    assert commands.asked[-1] == "daemon-reload"
    assert str(host / "opt") in told(removed.diffs)["changed_paths"]


def test_a_dry_run_says_the_same_and_removes_nothing(host: Path) -> None:
    before, commands = there(host), Commands()
    removed = removal(host, commands, check=True)
    removed.remove(
        Goods(
            absent=paths(host, "etc/relay.toml", "etc/unit", "not-there"),
            directories=paths(host, "etc", "config"),
            units=["fedmsg-relay.service"],
            retire=str(host / "state/journal.db"),
        )
    )
    assert (there(host), commands.asked) == (before, [])
    assert told(removed.diffs)["changed_paths"] == paths(host, "etc/relay.toml", "etc/unit", "etc")


def test_where_nothing_is_nothing_changes(tmp_path: Path) -> None:
    commands = Commands(active=False, enabled=False)
    removed = removal(tmp_path, commands)
    removed.remove(Goods(absent=paths(tmp_path, "a"), directories=paths(tmp_path, "b"), units=["x.service"]))
    assert (told(removed.diffs), commands.asked) == ({"changed": False, "changed_paths": []}, [])


def test_a_file_of_others_gets_its_name_back(host: Path) -> None:
    pair = paths(host, "config/relay-adopted.py", "config/relay.py")
    Path(pair[0]).write_text("theirs")
    removal(host, Commands()).remove(Goods(absent=[pair[1]], given_back=pair, directories=paths(host, "config")))
    assert Path(pair[1]).read_text() == "theirs"
    removal(host, Commands()).remove(Goods(absent=[pair[1]], given_back=pair))
    assert not Path(pair[1]).exists(), "there is nothing to give back"


def test_keys_of_the_role_go_and_others_stay(host: Path) -> None:
    for name in ("pki/ours.key", "pki/theirs.key"):
        (host / name).parent.mkdir(exist_ok=True)
        (host / name).write_text(name)
    (host / "etc/keys").write_text(f"# header\n{host}/pki/ours.key\n")
    removal(host, Commands()).remove(Goods(absent=[], manifest=str(host / "etc/keys"), ssldir=str(host / "pki")))
    assert [name for name in there(host) if "key" in name] == ["pki/theirs.key"]


@pytest.mark.parametrize("wal", ["", "newest messages"])
def test_the_journal_of_a_retired_relay_gets_another_name(host: Path, wal: str) -> None:
    journal = host / "state/journal.db"
    Path(f"{journal}-wal").write_text(wal)
    Path(f"{journal}-shm").write_text("x")
    removal(host, Commands()).remove(Goods(absent=[], retire=str(journal)))
    names = sorted(path.name for path in journal.parent.iterdir())
    assert len(names) == (2 if wal else 1)
    assert all(name.startswith("journal.db.retired-") for name in names)


def test_a_relay_with_a_message_of_its_last_moment_runs_again(host: Path) -> None:
    before, commands = there(host), Commands(unsent=2)
    with pytest.raises(StaysError, match="2 messages came in while the relay was stopped, so it is started again"):
        removal(host, commands).remove(
            Goods(
                absent=paths(host, "etc/unit"),
                units=["fedmsg-relay.service"],
                retire=str(host / "state/journal.db"),
            )
        )
    assert (there(host), commands.active, commands.enabled) == (before, True, True)


def test_what_waits_is_delivered_first(host: Path) -> None:
    commands = Commands()
    removal(host, commands).remove(Goods(absent=[], deliver="spool.service", units=["spool.service"]))
    assert commands.asked[:2] == ["start spool.service", "stop spool.service"]


def test_the_spool_is_counted_and_delivered(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    commands = Commands(status={"relay": {}, "messages": {"waiting": 3}})
    relay, spool = Relay(str(host / "opt"), commands), str(host / "spool")
    assert (messages(spool), deliver(spool, commands), passed_on(relay)) == (1, 1, 3)
    assert commands.asked == ["start fedmsg-relay-spool.service"]
    assert holds_messages(spool)
    assert not holds_messages(str(host / "nowhere"))
    commands.active = False
    assert passed_on(relay) == 0, "a stopped relay does not answer: its journal is kept"


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([], ""),
        ([{"item": "x", "rc": 1, "stdout_lines": []}, {"item": "y", "rc": 2, "stdout_lines": []}], ""),
        (
            [{"item": "x", "rc": 0, "stdout_lines": ["/a", "/b"]}],
            "x names the relay of app01 in /a, /b. Move the relay",
        ),
        ([{"item": "x", "skipped": True, "changed": False}], ""),
        ([{"item": "x", "unreachable": True}], "x cannot be asked whether it names the relay of app01. Move the relay"),
    ],
)
def test_a_relay_that_others_name_stays(answers: list[dict[str, Any]], fault: str) -> None:
    said = named_by(answers, "app01")
    assert bool(said) == bool(fault)
    assert said.startswith(fault)
    assert said == "" or said.endswith("or include x in this run. Nothing was changed.")


@pytest.mark.parametrize(
    ("spooled", "waiting", "dry", "fault"),
    [
        (0, 0, False, ""),
        (1, 0, True, ""),
        (1, 2, False, "1 messages wait in /spool of app01, and no relay takes them"),
        (1, 2, True, "2 messages wait on the relay of app01 to be passed on"),
        (0, 2, False, "2 messages wait on the relay of app01 to be passed on"),
    ],
)
def test_messages_are_not_given_up(spooled: int, waiting: int, dry: bool, fault: str) -> None:
    said = unsent({"spooled": spooled, "unsent": waiting}, "app01", "/spool", "/backups", dry=dry)
    assert said.startswith(fault)
    assert said == "" or said.endswith(
        "in /backups, run again with -e fedmsg_relay_abandon_spool=true. Nothing was removed."
    )
    assert bool(said) == bool(fault)
