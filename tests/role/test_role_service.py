"""The role runs the relay as its files say, and proves it; if it cannot, the previous one runs again."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_host import files
from fedmsg_relay_host.files import Files
from fedmsg_relay_host.relay import local
from fedmsg_relay_host.restoring import Before, Previous, Stock
from fedmsg_relay_host.service import NotProvedError, Places, Service, Wanted

from host_commands import Commands

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
BIND = {"inbound": ["tcp://*:9941"], "outbound": ["tcp://*:3999"]}
CHECKED = {"bind": BIND, "upstream": [], "settings": {"limits": 1}}
WELL = {"relay": {"pid": 1}, "endpoints": BIND, "upstream": None, "settings": {"limits": 1}}
OTHER = {**WELL, "settings": {"limits": 2}}
PAIR = ["tcp://app01:9941", "tcp://app01:3999"]
PROBE = "probe --timeout=5 --inbound=tcp://app01:9941 --outbound=tcp://app01:3999"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes its time, and files belong to whoever runs the tests."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(files, "_uid", lambda _: os.getuid())
    monkeypatch.setattr(files, "_gid", lambda _: os.getgid())


def service(home: Path, commands: Commands, *, check: bool = False) -> Service:
    places = Places(str(home), str(home / "unit"), str(home / "state/journal.db"), USER)
    return Service("app01", places, commands, Files(os.replace, check=check))


@pytest.mark.parametrize(
    ("commands", "wanted", "said", "asked"),
    [
        (Commands(status=WELL), Wanted(CHECKED), "", []),
        (Commands(status=WELL), Wanted(CHECKED, prove=PAIR), "", [PROBE]),
        (Commands(status=WELL, probes=[1]), Wanted(CHECKED, prove=PAIR), "", [PROBE, PROBE]),
        (
            Commands(status=WELL),
            Wanted(CHECKED, replaced=True, prove=PAIR),
            "The relay does not match its files: it is restarted.",
            ["daemon-reload", "enable fedmsg-relay.service", "restart fedmsg-relay.service", PROBE],
        ),
        (
            Commands(status=OTHER, after_reload=WELL),
            Wanted(CHECKED),
            "The relay is reloaded.",
            ["reload fedmsg-relay.service"],
        ),
        (
            Commands(status=OTHER),
            Wanted(CHECKED),
            "The relay does not match its files: it is restarted.",
            [
                "reload fedmsg-relay.service",
                *("daemon-reload", "enable fedmsg-relay.service", "restart fedmsg-relay.service"),
            ],
        ),
        (
            Commands(status=WELL, enabled=False),
            Wanted(CHECKED),
            "The relay is enabled, and runs.",
            ["daemon-reload", "enable fedmsg-relay.service", "start fedmsg-relay.service"],
        ),
        (
            Commands(loaded=False, active=False, enabled=False),
            Wanted(CHECKED),
            "The relay is enabled, and runs.",
            ["daemon-reload", "enable fedmsg-relay.service", "start fedmsg-relay.service"],
        ),
    ],
)
def test_a_relay_gets_what_it_needs(
    tmp_path: Path, commands: Commands, wanted: Wanted, said: str, asked: list[str]
) -> None:
    assert service(tmp_path, commands).match(wanted) == said
    assert commands.asked == asked


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        (Commands(status=WELL), ""),
        (Commands(status=OTHER), "The relay is reloaded."),
        (Commands(active=False), "The relay does not run: it is restarted."),
        (
            Commands(loaded=False, active=False),
            "The unit would be enabled and started, and a message sent through the relay.",
        ),
    ],
)
def test_a_dry_run_says_it_and_does_nothing(tmp_path: Path, commands: Commands, said: str) -> None:
    service_here = service(tmp_path, commands, check=True)
    assert service_here.match(Wanted(CHECKED, prove=PAIR, listeners=3999)) == said
    service_here.restart()
    assert commands.asked == []


def test_a_relay_waits_for_the_listeners_of_a_stock_relay(tmp_path: Path) -> None:
    commands = Commands(active=False)
    service(tmp_path, commands).match(Wanted(CHECKED, replaced=True, listeners=3999))
    program = f"{tmp_path}/current/bin/fedmsg-relay"
    journal = f"--journal={tmp_path}/state/journal.db"
    assert commands.asked[0] == f"runuser --user={USER} -- {program} expect {journal} 10.0.0.2:40000 10.0.0.3:40001"
    assert (tmp_path / "state").is_dir()


@pytest.mark.parametrize("ran", [True, False])
def test_a_relay_that_is_not_up_fails_with_its_journal_and_is_stopped(tmp_path: Path, ran: bool) -> None:
    commands = Commands(active=ran, enabled=ran, starts=False, loaded=ran)
    with pytest.raises(
        NotProvedError, match=r"^The relay on app01 is not up\. The end of its journal:\nits last words$"
    ):
        service(tmp_path, commands).match(Wanted(CHECKED, replaced=True))
    assert ("disable fedmsg-relay.service" in commands.asked) is not ran


def test_one_through_which_nothing_comes_fails(tmp_path: Path) -> None:
    commands = Commands(status=WELL, probes=[1, 1])
    with pytest.raises(NotProvedError, match=r"^No message comes through the relay on app01: nothing comes out$"):
        service(tmp_path, commands).match(Wanted(CHECKED, prove=PAIR))


def test_a_restart_is_proved_at_the_relays_own_addresses(tmp_path: Path) -> None:
    commands = Commands(status=WELL)
    service(tmp_path, commands).restart()
    probe = "probe --timeout=5 --inbound=tcp://127.0.0.1:9941 --outbound=tcp://127.0.0.1:3999"
    assert commands.asked == ["daemon-reload", "restart fedmsg-relay.service", probe]
    assert local({"inbound": ["tcp://10.0.0.1:1", "tcp://*:2"]}, "inbound") == ["tcp://10.0.0.1:1"]
    assert local({}, "inbound") == []


@pytest.mark.parametrize(
    ("commands", "fault"),
    [
        (Commands(starts=False), "is not up"),
        (Commands(status=WELL, probes=[1, 1]), "is up, but no message comes through it: nothing comes out"),
    ],
)
def test_a_restart_that_does_not_work_is_a_failure(tmp_path: Path, commands: Commands, fault: str) -> None:
    with pytest.raises(NotProvedError) as failed:
        service(tmp_path, commands).restart()
    assert str(failed.value) == f"The relay on app01 {fault}. The end of its journal:\nits last words"


class Changed:
    """A host on which a run has written settings and linked a release."""

    def __init__(self, home: Path, **commands: Any) -> None:
        self.home = home
        self.commands = Commands(**commands)
        self.settings = home / "relay.toml"
        self.settings.write_text("new")
        for name in ("old", "new"):
            (home / "releases" / name).mkdir(parents=True)
        (home / "current").symlink_to("releases/new")

    def before(self, **more: Any) -> Before:
        said = {"texts": {str(self.settings): "old"}, "release": "releases/old", "started": True, **more}
        return Before(**said)

    def previous(self, before: Before, *, check: bool = False) -> Previous:
        return Previous("app01", str(self.home), before, self.commands, Files(os.replace, check=check))


def test_the_previous_release_runs_again(tmp_path: Path) -> None:
    host = Changed(tmp_path)
    said = host.previous(host.before()).replace_again("new", "It broke.")
    assert said == "new did not prove itself on app01, so old runs again: It broke."
    assert (host.settings.read_text(), (tmp_path / "current").readlink()) == ("old", Path("releases/old"))
    assert host.commands.asked == ["daemon-reload", "restart fedmsg-relay.service"]


def test_the_previous_settings_are_used_again(tmp_path: Path) -> None:
    host = Changed(tmp_path)
    said = host.previous(host.before(release="releases/new")).replace_again("new", "It broke.")
    assert said == (
        "The changed relay did not prove itself on app01, so new runs again with the previous settings: It broke."
    )


def test_a_previous_release_that_cannot_read_the_journal_is_not_started(tmp_path: Path) -> None:
    host = Changed(tmp_path, check=(2, "journal of format 99"))
    said = host.previous(host.before()).replace_again("new", "It broke.")
    assert said == (
        "It broke. The previous release old cannot run again on app01, because it refuses the config or the journal: "
        "journal of format 99"
    )
    assert (tmp_path / "current").readlink() == Path("releases/new")
    assert host.commands.asked == []


def test_where_nothing_was_changed_or_nothing_ran_nothing_is_started(tmp_path: Path) -> None:
    host = Changed(tmp_path)
    assert host.previous(host.before(started=False)).replace_again("new", "It broke.") == "It broke."
    assert host.previous(host.before()).replace_again("new", "It broke.") == "It broke.", "it is as before by now"
    assert host.commands.asked == []


def test_a_dry_run_puts_nothing_back(tmp_path: Path) -> None:
    host = Changed(tmp_path)
    host.previous(host.before(), check=True).move_back()
    assert (host.settings.read_text(), host.commands.asked) == ("new", [])


@pytest.mark.parametrize(
    ("started", "asked"),
    [
        (True, ["daemon-reload", "restart fedmsg-relay.service"]),
        (False, ["stop fedmsg-relay.service", "disable fedmsg-relay.service"]),
    ],
)
def test_a_move_goes_back_to_what_ran(tmp_path: Path, started: bool, asked: list[str]) -> None:
    host = Changed(tmp_path)
    assert host.previous(host.before(started=started)).move_back()
    assert host.commands.asked == asked
    assert not host.previous(host.before(started=started)).move_back(), "nothing more is changed"


@pytest.mark.parametrize(("invocation", "order"), [("run100", "start"), ("run99", "restart")])
def test_a_stock_relay_gets_its_files_back_and_runs(tmp_path: Path, invocation: str, order: str) -> None:
    host = Changed(tmp_path)
    unit, copy = tmp_path / "unit", tmp_path / "adopted/unit"
    copy.parent.mkdir()
    copy.write_text("stock")
    unit.write_text("ours")
    stock = Stock(True, [str(unit), str(host.settings)], [(str(copy), str(unit))])
    said = host.previous(host.before(stock=stock, invocation=invocation)).replace_again("new", "It broke.")
    assert said == "The stock relay on app01 runs as before, because no message comes through ours: It broke."
    assert (unit.read_text(), host.settings.exists()) == ("stock", False)
    assert host.commands.asked == ["daemon-reload", "enable fedmsg-relay.service", f"{order} fedmsg-relay.service"]
