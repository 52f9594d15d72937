"""The log: its lines, one for each event; a rotation loses none."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from bus import Bus, StartBus
from disk import Disk
from harness import Host, wait_until
from messages import numbered
from raw import RawPeer
from relays import Relay

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) fedmsg-relay\[(\d+)\] \S.*")


def assert_each_connected_once(lines: list[str], names: list[str]) -> None:
    """Each peer has one line. The kernel may give a port again to a later peer, which then has the same name."""
    connected = Counter(line.rpartition("publisher connected ")[2] for line in lines if "publisher connected " in line)
    assert {name: connected[name] for name in names} == Counter(names)


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
    assert_each_connected_once(lines, names)
    if told:
        assert sum("log reopened" in line for line in lines) == 3


def test_sigusr1_without_a_rename_loses_nothing(bus: Bus) -> None:
    names = come_and_go(bus, 5)
    bus.relay.running.send_signal(signal.SIGUSR1)
    bus.relay.wait_for_log("log reopened")
    names += come_and_go(bus, 5)
    lines = every_line(bus)
    assert_each_connected_once(lines, names)


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
    assert_each_connected_once(lines, names)


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


def test_a_log_that_cannot_be_opened_keeps_no_relay_from_starting(host: Host, start_bus: StartBus) -> None:
    shutil.rmtree(host.log_file.parent)
    host.write("log", "in the place of the directory")
    bus = start_bus()
    bus.publisher.send_all(numbered(1))
    bus.listener.expect(numbered(1))
    wait_until(lambda: "cannot be written, lines wait" in bus.relay.running.stderr(), "the fault on stderr")
    assert_warning(bus.relay)
    host.log_file.parent.unlink()
    bus.relay.wait_for_log("INFO", "start ")
    bus.relay.wait_for_log("WARNING", "is written again; 0 lines were lost")
    assert bus.relay.stop() == 0


def test_a_log_directory_that_is_removed_is_made_again(bus: Bus) -> None:
    shutil.rmtree(bus.host.log_file.parent)
    (name,) = come_and_go(bus, 1)
    assert len(bus.relay.log_lines("publisher connected", name)) == 1


def test_2000_connections_without_a_log_directory_leave_the_relay_well(bus: Bus) -> None:
    shutil.rmtree(bus.host.log_file.parent)
    bus.host.write("log", "so that it cannot be made again")
    for _ in range(2000):
        RawPeer(bus.host.inbound).shake_hands().close()
    bus.assert_relays()
    status = bus.relay.status()
    assert status["connections"]["accepted"] >= 2000
    assert status["dead_threads"] == {}
    bus.host.log_file.parent.unlink()
    wait_until(lambda: len(bus.relay.log_lines("publisher connected")) == 2000, "what has waited is written")
    assert bus.host.run("fedmsg-relay", "status").stdout.startswith("OK")


@pytest.fixture
def log_disk(host: Host) -> Iterator[Disk]:
    """A file system of the log's own, which has to be there before the relay starts."""
    with contextlib.closing(Disk(host, "log")) as disk:
        yield disk


def test_a_full_disk_a_rename_and_sigusr1_leave_the_relay_running(log_disk: Disk, start_bus: StartBus) -> None:
    bus = start_bus()
    log_disk.fill()
    peers = [RawPeer(bus.host.inbound).shake_hands() for _ in range(100)]
    bus.host.log_file.rename(bus.host.log_file.with_suffix(".log.1"))
    bus.relay.running.send_signal(signal.SIGUSR1)
    wait_until(lambda: "No space left on device" in bus.relay.running.stderr(), "the full disk on stderr")
    bus.assert_relays()
    assert_warning(bus.relay)
    log_disk.free()
    bus.relay.wait_for_log("WARNING", "is written again; 0 lines were lost")
    lines = every_line(bus)
    assert [sum(f"publisher connected {peer.name}" in line for line in lines) for peer in peers] == [1] * 100
    assert [line for line in bus.relay.log().splitlines() if not LINE.fullmatch(line)] == []
    for peer in peers:
        peer.close()
    assert bus.relay.stop() == 0


def assert_warning(relay: Relay) -> None:
    ran = relay.host.run("fedmsg-relay", "status")
    assert ran.code == 1
    assert ran.stdout.startswith(f"WARNING - {relay.host.log_file} cannot be written: ")
