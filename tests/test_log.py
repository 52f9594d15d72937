"""The log: what it says, one line each, and that rotating it loses none."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest

from harness import Host, Relay, wait_until
from wire import Bus, RawPeer, StartBus, numbered

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) fedmsg-relay\[(\d+)\] \S.*")


def come_and_go(bus: Bus, count: int) -> list[str]:
    """Publishers whose addresses must be found in the log, each once."""
    names = []
    for _ in range(count):
        peer = RawPeer(bus.host.inbound).shake_hands()
        names.append(peer.name)
        bus.relay.wait_for_log_anywhere(f"publisher connected {peer.name}")
        peer.close()
    return names


def every_line(bus: Bus) -> list[str]:
    files = sorted(bus.host.log_file.parent.iterdir())
    return [line for file in files for line in file.read_text().splitlines()]


def test_a_day_in_the_log(bus: Bus) -> None:
    bus.publisher.send(b"org.example", b"not json")
    bus.publisher.send_all(numbered(1))
    bus.listener.expect(numbered(1))
    noise = RawPeer(bus.host.inbound)
    bus.relay.wait_for_log("publisher connected", noise.name)
    noise.send(b"\xff" * 200)
    noise.finish()
    bus.relay.wait_for_log("handshake failed", noise.name)
    assert bus.relay.stop() == 0
    lines = bus.relay.log().splitlines()
    for line in lines:
        match = LINE.fullmatch(line)
        assert match, line
        assert int(match[2]) == bus.relay.pid
    told = [
        ("INFO", "start", "version=", f"pid={bus.relay.pid}"),
        ("INFO", "bound inbound", bus.host.inbound),
        ("INFO", "bound outbound", bus.host.outbound),
        ("INFO", "publisher connected 127.0.0.1:"),
        ("INFO", "listener connected 127.0.0.1:"),
        ("WARNING", "dropped 1 message", "body-not-json", "127.0.0.1"),
        ("WARNING", "handshake failed", noise.name),
        ("INFO", "stop", "received=", "published=", "dropped="),
    ]
    places = [[n for n, line in enumerate(lines) if all(word in line for word in words)] for words in told]
    assert all(places), dict(zip(told, places, strict=True))
    assert places[0] == [0]
    assert places[-1] == [len(lines) - 1]


def test_every_peer_is_named_when_it_comes_and_when_it_goes(bus: Bus) -> None:
    for way, kind, word in (("inbound", b"PUB", "publisher"), ("outbound", b"SUB", "listener")):
        peer = RawPeer(getattr(bus.host, way)).shake_hands(kind)
        bus.relay.wait_for_log("INFO", f"{word} connected {peer.name}")
        assert peer.name in bus.relay.status()["peers"][f"{word}s"]
        peer.close()
        bus.relay.wait_for_log("INFO", f"{word} disconnected {peer.name}")
        assert peer.name not in bus.relay.status()["peers"][f"{word}s"]


def test_nothing_a_publisher_sends_can_forge_a_line(bus: Bus) -> None:
    for topic in (b"x\n2026-01-01T00:00:00.000Z INFO fedmsg-relay[1] stop", b"\x1b[2J", b"\xff\n\n"):
        bus.publisher.send(topic, b"not json\n2026-01-01T00:00:00.000Z INFO fedmsg-relay[1] start")
    bus.publisher.send_all(numbered(1))
    bus.listener.expect(numbered(1))
    assert bus.relay.stop() == 0
    for line in bus.relay.log().splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        assert int(match[2]) == bus.relay.pid


@pytest.mark.parametrize("told", [True, False], ids=["with SIGUSR1", "by the rename alone"])
def test_a_renamed_log_is_reopened_without_losing_a_line(bus: Bus, told: bool) -> None:
    names = come_and_go(bus, 20)
    for round_ in range(3):
        bus.host.log_file.rename(bus.host.log_file.with_suffix(f".log.{round_}"))
        if told:
            bus.relay.running.send_signal(signal.SIGUSR1)
        names += come_and_go(bus, 20)
        wait_until(bus.host.log_file.exists, "the log is there again")
    lines = every_line(bus)
    assert [sum(f"publisher connected {name}" in line for line in lines) for name in names] == [1] * len(names)
    if told:
        assert sum("log reopened" in line for line in lines) == 3


def test_sigusr1_without_a_rename_loses_nothing(bus: Bus) -> None:
    names = come_and_go(bus, 5)
    bus.relay.running.send_signal(signal.SIGUSR1)
    bus.relay.wait_for_log("log reopened")
    names += come_and_go(bus, 5)
    lines = every_line(bus)
    assert [sum(f"publisher connected {name}" in line for line in lines) for name in names] == [1] * len(names)


@pytest.mark.parametrize("postrotate", [True, False], ids=["with postrotate", "without postrotate"])
def test_logrotate_forced_twice_under_traffic_loses_no_line(bus: Bus, postrotate: bool) -> None:
    program = shutil.which("logrotate", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program, "logrotate is missing: install it (Debian: apt-get install logrotate)"
    signal_it = f"postrotate\n kill -USR1 {bus.relay.pid}\nendscript" if postrotate else ""
    config = bus.host.write(
        "logrotate.conf", f"{bus.host.log_file} {{\n rotate 9\n nocreate\n nocompress\n {signal_it}\n}}\n"
    )
    names: list[str] = []
    for _ in range(2):
        sent = numbered(1000)
        bus.publisher.send_all(sent)
        names += come_and_go(bus, 10)
        ran = bus.host.run(program, "-f", "-s", bus.host.directory / "logrotate.state", config)
        assert ran.code == 0, ran.stderr
        names += come_and_go(bus, 10)
        bus.listener.expect(sent)
        wait_until(bus.host.log_file.exists, "the log is there again")
    assert (bus.host.log_file.parent / "fedmsg-relay.log.2").exists()
    lines = every_line(bus)
    assert [sum(f"publisher connected {name}" in line for line in lines) for name in names] == [1] * len(names)


def test_without_a_log_directory_it_logs_to_stderr(host: Host) -> None:
    relay = Relay(host, env={"LOGS_DIRECTORY": ""})
    try:
        relay.start()
        assert relay.stop() == 0
        lines = relay.running.stderr().splitlines()
        assert " start " in lines[0]
        assert " stop " in lines[-1]
        assert not host.log_file.exists()
    finally:
        relay.close()


def test_a_full_disk_costs_lines_and_not_the_relay(host: Host, start_bus: StartBus) -> None:
    host.log_file.symlink_to("/dev/full")
    bus = start_bus()
    bus.publisher.send(b"org.example", b"not json")
    bus.publisher.send_all(numbered(100))
    bus.listener.expect(numbered(100))
    assert bus.relay.stop() == 0
    assert "Traceback" not in bus.relay.running.stderr()


def test_warnings_reach_stderr_as_well(bus: Bus) -> None:
    bus.publisher.send(b"org.example", b"not json")
    bus.relay.wait_for_log("WARNING", "body-not-json")
    wait_until(lambda: "body-not-json" in bus.relay.running.stderr(), "the warning on stderr")
    assert " INFO " not in bus.relay.running.stderr()


def test_a_log_directory_that_can_not_be_written_is_one_line(host: Host) -> None:
    file = host.write("file", "")
    ran = host.run("fedmsg-relay", env={"LOGS_DIRECTORY": str(file)})
    assert ran.code == 78
    assert str(Path(file)) in ran.one_error_line()
