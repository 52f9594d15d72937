"""The log on stderr: it holds nothing up, whoever reads it or not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from bus import StartBus
from fedmsg_relay.runtime.log import ROOM_BYTES
from harness import Host, wait_until
from raw import RawPeer
from relays import Relay


@pytest.fixture
def stderr(host: Host) -> Iterator[int]:
    """The reading end of a pipe that is full, which is a relay's stderr once it is started with `with_pipe`."""
    os.mkfifo(host.directory / "stderr")
    end = os.open(host.directory / "stderr", os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(end, b"-" * 65536)
    yield end
    with contextlib.suppress(OSError):
        os.close(end)


def with_pipe(relay: Relay) -> None:
    relay.program = ["/bin/sh", "-c", 'exec fedmsg-relay "$@" 2>stderr', "sh"]


def read_from(end: int, until: str) -> str:
    """What comes out of a pipe, up to some words."""
    text = ""

    def complete() -> bool:
        nonlocal text
        with contextlib.suppress(BlockingIOError):
            while more := os.read(end, 65536):
                text += more.decode()
        return until in text

    wait_until(complete, f"{until!r} in a pipe")
    return text


@pytest.mark.parametrize("with_file", [True, False], ids=["beside a file", "without a file"])
def test_stderr_that_nobody_reads_holds_nothing_up(
    stderr: int, relay: Relay, start_bus: StartBus, with_file: bool
) -> None:
    with_pipe(relay)
    if not with_file:
        relay.env["LOGS_DIRECTORY"] = ""
    bus = start_bus()
    for _ in range(100):
        noise = RawPeer(bus.host.inbound)
        noise.send(b"\xff" * 200)
        noise.finish()
    bus.assert_relays()
    assert bus.host.run("fedmsg-relay", "status").stdout.startswith("OK")
    assert bus.relay.stop() == 0
    assert b"-" * 1000 in os.read(stderr, 65536), "it was full to the end"


def test_a_stderr_that_is_closed_holds_nothing_up(stderr: int, relay: Relay, start_bus: StartBus) -> None:
    with_pipe(relay)
    bus = start_bus()
    os.close(stderr)
    bus.publisher.send(b"org.example", b"not json")
    bus.relay.wait_for_log("ERROR", "stderr cannot be written, lines wait: Broken pipe")
    bus.assert_relays()
    assert bus.relay.stop() == 0


def test_lines_lost_in_a_full_pipe_are_bounded_and_counted(stderr: int, relay: Relay, start_bus: StartBus) -> None:
    relay.host.write("relay.toml", "")
    with_pipe(relay)
    bus = start_bus()
    relay.host.write("relay.toml", f"{'x' * 500_000} = 1\n")
    for _ in range(20):
        bus.relay.reload()
    wait_until(lambda: len(bus.relay.log_lines("not reloaded")) == 20, "all of it in the file")
    told = read_from(stderr, "lines were lost")
    kept = sum("not reloaded" in line for line in told.splitlines())
    assert 0 < kept <= ROOM_BYTES // 500_000
    assert f"stderr is written again; {20 - kept} lines were lost" in told
    bus.assert_relays()
    assert bus.relay.stop() == 0
