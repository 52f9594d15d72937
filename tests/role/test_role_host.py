"""The other work of the role's modules on a host: reach endpoints, keep units running, wait, and install a release."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fedmsg_relay_host import disuse, reach
from fedmsg_relay_host.command import CommandError, Ran, answer_of, attempt, must
from fedmsg_relay_host.relay import Relay
from fedmsg_relay_host.release import Release, install
from fedmsg_relay_host.units import DownError, keep_running, outdated, reload

from host_commands import Commands


def execute(command: list[str]) -> Ran:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


def test_a_command_works_or_says_why() -> None:
    assert attempt(execute, ["/no/such"]) == (127, "", "/no/such: No such file or directory")
    assert must(execute, ["echo", "x"]) == "x\n"
    assert must(execute, ["false"], 0, 1) == ""
    with pytest.raises(CommandError, match=r"^sh -c echo why >&2; exit 3: why$"):
        must(execute, ["sh", "-c", "echo why >&2; exit 3"])
    assert answer_of(execute, ["echo", '{"a": 1}']) == {"a": 1}
    assert answer_of(execute, ["echo", "[]"]) == answer_of(execute, ["echo", "x"]) == {}


@pytest.fixture
def peers() -> Iterator[list[str]]:
    """Three addresses: one greets as ZeroMQ, one accepts and says something else, one refuses."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as greets,
        closing(socket.create_server(("127.0.0.1", 0))) as talks,
        closing(socket.socket()) as taken,
    ):
        taken.bind(("127.0.0.1", 0))

        def answer(server: socket.socket, what: bytes) -> None:
            peer, _ = server.accept()
            peer.sendall(what)
            peer.close()

        threads = [Thread(target=answer, args=pair, daemon=True) for pair in ((greets, b"\xff"), (talks, b"SSH"))]
        for thread in threads:
            thread.start()
        yield [f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in (greets, talks, taken)]


def test_a_host_without_the_program_hears_a_greeting(peers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "SECONDS", 1)
    said = reach.unreachable("", [("relay_submit", address) for address in peers], execute)
    assert said == "; ".join(f"relay_submit {address}: no greeting within 1 s" for address in peers[1:])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (json.dumps({"ok": True}), ""),
        (
            json.dumps({"ok": False, "summary": "FAULT - cannot be reached: relay_submit x: no answer"}),
            "relay_submit x: no answer",
        ),
        ("", "the program here cannot check that: why"),
    ],
)
def test_a_host_with_the_program_asks_it(answer: str, said: str) -> None:
    asked: list[list[str]] = []

    def run(command: list[str]) -> Ran:
        asked.append(command)
        return 1, answer, "why\n"

    assert reach.unreachable("/p", [("relay_submit", "tcp://a:1"), ("relay_inbound", "tcp://a:2")], run) == said
    assert asked == [
        ["/p", "endpoints", "--check", "--json", "--timeout=5", "--submit=tcp://a:1", "--inbound=tcp://a:2"]
    ]
    assert reach.unreachable("/p", [], run) == ""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A file that was written at 100."""
    path = tmp_path / "config"
    path.write_text("x")
    os.utime(path, (100, 100))
    return str(path)


@pytest.mark.parametrize(
    ("commands", "done", "asked"),
    [
        (Commands(started_at=100), [], []),
        (Commands(started_at=99), ["a.service"], ["daemon-reload", "enable a.service", "restart a.service"]),
        (Commands(active=False), ["a.service"], ["daemon-reload", "enable a.service", "start a.service"]),
        (Commands(enabled=False), ["a.service"], ["daemon-reload", "enable a.service", "start a.service"]),
    ],
)
def test_a_unit_is_kept_running(config: str, commands: Commands, done: list[str], asked: list[str]) -> None:
    assert keep_running(["a.service"], [config], commands, check=True) == done
    assert commands.asked == [], "a dry run"
    assert keep_running(["a.service"], [config], commands, check=False) == done
    assert commands.asked == asked


def test_a_unit_that_does_not_start_fails_in_its_own_words() -> None:
    with pytest.raises(DownError, match=r"^its last words$"):
        keep_running(["a.path", "b.timer"], [], Commands(active=False, starts=False), check=False)


@pytest.mark.parametrize(
    ("commands", "written", "found"),
    [
        (Commands(started_at=100), False, []),
        (Commands(started_at=100), True, ["a.service", "b.service"]),
        (Commands(started_at=99), False, ["a.service", "b.service"]),
        (Commands(started_at=99, active=False), True, []),
    ],
)
def test_a_unit_that_has_read_another_config_reads_it_anew(
    config: str, commands: Commands, written: bool, found: list[str]
) -> None:
    assert outdated(["a.service", "b.service"], config, commands, written=written) == found
    reload(["a.service", "b.service"], commands)
    assert commands.asked == ["try-reload-or-restart a.service b.service"]


OLD = {"inbound": ["tcp://*:1"], "submit": ["tcp://*:2"]}


def used(**peers: list[str]) -> dict[str, Any]:
    addresses = [
        {"endpoint": endpoint, "address": one, "idle_seconds": 300, "peers": peers.get(endpoint, [])}
        for endpoint, found in OLD.items()
        for one in found
    ]
    return {"relay": {}, "addresses": addresses}


def idle(seconds: float, waiting: int = 0) -> dict[str, Any]:
    return {"relay": {}, "peers": {"idle_seconds": seconds}, "messages": {"waiting": waiting}}


@pytest.mark.parametrize(
    ("status", "old", "done"),
    [
        (idle(300), {}, True),
        (idle(299), {}, False),
        (idle(300, waiting=1), {}, False),
        (idle(0), {}, False),
        ({}, {}, False),
        (used(), OLD, True),
        (used(inbound=["x:1"]), OLD, False),
        ({"relay": {}}, OLD, False),
    ],
)
def test_a_wait_ends_when_nobody_uses_it(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], old: dict[str, list[str]], done: bool
) -> None:
    slept: list[float] = []
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("time.sleep", slept.append)
    relay = Relay("/opt", Commands(status=status))
    assert disuse.wait(relay, 300, 12, old) == status
    assert bool(slept) is not done
    slept.clear()
    disuse.wait(relay, 300, 0, old)
    assert slept == [], "it asks once"


def test_a_release_that_cannot_be_installed_is_not_complete(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels/1"
    wheels.mkdir(parents=True)
    release = Release(str(tmp_path / "releases/1"), str(wheels), sys.executable, importable=["fedmsg_relay"])
    asked: list[list[str]] = []

    def run(command: list[str]) -> Ran:
        asked.append(command)
        return (1, "", "no such wheel") if "install" in command else (0, "", "")

    with pytest.raises(CommandError, match="no such wheel"):
        install(release, run)
    assert not release.mark.exists()
    assert asked[-1][-2:] == [str(wheels), "fedmsg-relay"]


def test_a_release_has_a_folder_of_what_scripts_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    mkdir = Path.mkdir

    def make(path: Path, *modes: Any, **how: Any) -> None:
        made.append(path)
        if not path.is_relative_to("/usr/local"):
            mkdir(path, *modes, **how)

    monkeypatch.setattr(Path, "mkdir", make)
    wheels, packages = tmp_path / "wheels/1", tmp_path / "releases/1/lib/python3.11/site-packages"
    mkdir(wheels, parents=True)

    def run(command: list[str]) -> Ran:
        if "venv" in command:
            mkdir(packages, parents=True)
            for name in ("zmq", "_cffi_backend.abi3.so", "pip"):
                (packages / name).touch()
        return 0, "", ""

    release = Release(str(tmp_path / "releases/1"), str(wheels), "python3", importable=["zmq", "_cffi_backend.*"])
    install(release, run)
    folder = packages.with_name("importable")
    assert sorted(path.name for path in folder.iterdir()) == ["_cffi_backend.abi3.so", "zmq"]
    assert (folder / "zmq").readlink() == Path("../site-packages/zmq")
    assert Path("/usr/local/lib/python3.11/dist-packages") in made
    assert (release.mark.exists(), wheels.parent.exists()) == (True, False)
    mkdir(wheels, parents=True)
    extra = Release(release.path, str(wheels), "python3", extra="web")
    install(extra, run)
    assert (extra.mark.name, extra.mark.exists(), release.mark.exists()) == (".web", True, True)
