"""Health: the relay checks that it greets new connections, and leaves no trace of that; a dead thread is critical."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bus import Bus
from harness import Host, wait_until
from messages import numbered
from ports import has_ipv6
from relays import Relay

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000
"""waitpid(2): for threads, too."""


class StoppedThreads:
    """Single threads of a process that stand still, which no signal can do: as a debugger does it, see ptrace(2)."""

    def __init__(self) -> None:
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace.restype = ctypes.c_long
        self._stopped: list[int] = []

    def stop(self, pid: int, name: str) -> None:
        """Stop every thread of this name."""
        for thread in Path(f"/proc/{pid}/task").iterdir():
            if re.fullmatch(name, (thread / "comm").read_text().strip()):
                tid = int(thread.name)
                self._request(PTRACE_SEIZE, tid)
                self._stopped.append(tid)
                self._request(PTRACE_INTERRUPT, tid)
                os.waitpid(tid, WALL)
        assert self._stopped, f"no thread {name!r}"

    def let_go(self) -> None:
        while self._stopped:
            self._request(PTRACE_DETACH, self._stopped.pop())

    def _request(self, request: int, tid: int) -> None:
        if self._ptrace(request, tid, None, None):
            number = ctypes.get_errno()
            raise OSError(number, f"ptrace: {os.strerror(number)}")


@pytest.fixture
def stopped() -> Iterator[StoppedThreads]:
    stopped = StoppedThreads()
    yield stopped
    with contextlib.suppress(OSError):  # the relay may be gone by now
        stopped.let_go()


FATAL_SECONDS = 4

QUICK = f"""\
import socket, sys
from fedmsg_relay.network import health
from fedmsg_relay.runtime import threads
from fedmsg_relay.commands.relay import main
health.INTERVAL_SECONDS = health.ANSWER_SECONDS = 1
health.FAULT_SECONDS, health.FATAL_SECONDS = 3, {FATAL_SECONDS}
"""

PATIENT = "health.FAULT_SECONDS = 600\n"
"""Behind QUICK: what a busy machine answers late is not a fault."""

RUN = "sys.exit(main())\n"


@pytest.fixture
def watched_relay(host: Host) -> Iterator[Relay]:
    """A relay whose watchdog wants to hear of it ten times a second, and that looks at its health as often as tests can
    wait for."""
    with contextlib.closing(Relay(host, env={"WATCHDOG_USEC": "200000"})) as relay:
        relay.program = ["python", "-c", QUICK + RUN]
        yield relay


def looks(relay: Relay) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = relay.status()["health"]
    return found


def wait_for_looks(relay: Relay, times: int) -> None:
    """Each address was looked at so often."""
    for _ in range(times):
        before = wait_until(partial(all_greeted, relay), "every address has greeted")

        def again(before: list[dict[str, Any]] = before) -> bool:
            return all(
                now["since_greeted"] < then["since_greeted"] for now, then in zip(looks(relay), before, strict=True)
            )

        wait_until(again, "every address was looked at once more")


def all_greeted(relay: Relay) -> list[dict[str, Any]]:
    found = looks(relay)
    return found if all(door["since_greeted"] is not None for door in found) else []


@pytest.mark.parametrize("way", ["tcp", "tcp6", "wildcard", "ipc"])
def test_own_looks_leave_no_trace(host: Host, relay: Relay, way: str) -> None:
    if way == "tcp6" and not has_ipv6():
        way = "tcp"
    ports = [host.port() for _ in range(3)]
    form = {"tcp": "tcp://127.0.0.1:{}", "tcp6": "tcp://[::1]:{}", "wildcard": "tcp://*:{}", "ipc": "ipc://run/{}"}
    bound = [form[way].format(port) for port in ports]
    keys = zip(("inbound", "outbound", "submit"), bound, strict=True)
    host.write("relay.toml", "[bind]\n" + "".join(f'{name} = ["{address}"]\n' for name, address in keys))
    relay.program = ["python", "-c", QUICK + PATIENT + RUN]
    relay.start()
    assert [door["address"] for door in looks(relay)] == bound
    wait_for_looks(relay, 2)
    status = relay.status()
    assert [door["fault"] for door in status["health"]] == ["", "", ""]
    assert status["connections"] == dict.fromkeys(("accepted", "closed", "handshake_failed", "turned_away", "cut"), 0)
    assert [status["peers"][f"{role}s"] for role in ("publisher", "submitter", "listener")] == [[], [], []]
    assert status["peers"]["idle_seconds"] > status["relay"]["uptime"] - 1
    for word in ("connected", "handshake failed", "WARNING", "ERROR"):
        assert not relay.log_lines(word)
    assert relay.stop() == 0


def test_a_relay_that_greets_nobody_is_critical_and_loses_its_watchdog(
    watched_relay: Relay, stopped: StoppedThreads
) -> None:
    relay = watched_relay.start()
    wait_until(partial(all_greeted, relay), "every address has greeted")
    stopped.stop(relay.pid, "ZMQbg/IO/.*")

    def named() -> bool:
        ran = relay.host.run("fedmsg-relay", "status")
        words = f"answers no new connection at outbound {relay.host.outbound} for "
        return ran.code == 2 and ran.stdout.startswith("CRITICAL - ") and words in ran.stdout.splitlines()[0]

    wait_until(named, "status is CRITICAL and names outbound")
    relay.wait_for_log("ERROR", f"answers no new connection at outbound {relay.host.outbound}")
    wait_until(partial(unfed, relay), "the watchdog is not fed", 60)
    stopped.let_go()
    relay.wait_for_log("WARNING", f"answers new connections again at outbound {relay.host.outbound}")
    wait_until(lambda: relay.host.run("fedmsg-relay", "status").code == 0, "status is OK")
    relay.systemd.forget()
    relay.systemd.wait_for("WATCHDOG=1", times=4)
    assert relay.stop() == 0


def unfed(relay: Relay) -> bool:
    """Nothing is heard for half a second of a relay that is due ten times in that time."""
    relay.systemd.forget()
    with contextlib.suppress(AssertionError):
        relay.systemd.wait_for("WATCHDOG=1", timeout=0.5)
        return False
    return True


def wait_until_longer_than_fatal(relay: Relay) -> None:
    """The watchdog is fed for longer than that of a relay that answers no new connection would be."""
    relay.systemd.forget()
    relay.systemd.wait_for("WATCHDOG=1", times=FATAL_SECONDS * 15, timeout=60)


def test_the_watchdog_is_fed_where_no_look_was_ever_greeted(watched_relay: Relay) -> None:
    relay = watched_relay
    elsewhere = 'health._target = lambda address: (socket.AF_INET, ("127.0.0.1", 1))\n'  # as a firewall would
    relay.program = ["python", "-c", QUICK + elsewhere + RUN]
    relay.start()
    relay.wait_for_log("ERROR", f"answers no new connection at inbound {relay.host.inbound}", "Connection refused")
    assert relay.host.run("fedmsg-relay", "status").code == 2
    wait_until_longer_than_fatal(relay)
    assert relay.stop() == 0


def test_no_file_descriptor_left_is_critical_and_no_reason_to_restart(watched_relay: Relay) -> None:
    relay = watched_relay.start()
    wait_until(partial(all_greeted, relay), "every address has greeted")
    numbers = {int(fd.name) for fd in Path(f"/proc/{relay.pid}/fd").iterdir()}
    lowest = min(set(range(len(numbers) + 1)) - numbers)
    _, hard = resource.prlimit(relay.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (lowest, hard))
    relay.wait_for_log("ERROR", relay.host.outbound, "no file descriptor is left")
    ran = relay.host.run("fedmsg-relay", "status")  # accept(2), waiting, has had its file descriptor all the time
    assert ran.code == 2
    for name in ("inbound", "outbound"):
        assert f"cannot look at {name} {getattr(relay.host, name)}" in ran.stdout.splitlines()[0]
    wait_until_longer_than_fatal(relay)
    resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (hard, hard))
    relay.wait_for_log("WARNING", f"answers new connections again at outbound {relay.host.outbound}")
    wait_until(lambda: relay.host.run("fedmsg-relay", "status").code == 0, "status is OK")
    assert relay.stop() == 0


def test_a_thread_that_dies_is_critical_by_name_and_ends_the_watchdog(watched_relay: Relay) -> None:
    relay = watched_relay
    relay.program = ["python", "-c", QUICK + 'threads.start("victim", lambda: [][0])\n' + RUN]
    relay.start()
    ran = relay.host.run("fedmsg-relay", "status")
    assert ran.code == 2
    died = "a thread of the relay has died, it has to be restarted: victim of IndexError"
    assert ran.stdout.startswith(f"CRITICAL - {died}")
    assert relay.status()["dead_threads"] == {"victim": "IndexError('list index out of range')"}
    assert unfed(relay)
    assert relay.stop() == 0


END = """\
from fedmsg_relay.daemon import relay
def fail(self):
    raise OSError(28, "No space left on device")
relay.Relay._turn = fail
"""


def test_an_end_that_nobody_foresaw_is_one_line_that_blames_no_stdout(relay: Relay) -> None:
    relay.program = ["python", "-c", QUICK + END + RUN]
    assert relay.launch().wait() == 70
    (line,) = relay.log_lines("ERROR")
    assert "the relay ends" in line
    assert "No space left on device" in line
    assert "stdout" not in relay.running.stderr()
    assert len(relay.running.stderr().splitlines()) == 1


def test_a_relay_in_use_is_looked_at_and_loses_nothing(bus: Bus) -> None:
    sent = numbered(1000)
    bus.publisher.send_all(sent)
    wait_for_looks(bus.relay, 1)
    bus.listener.expect(sent)
    peers = bus.relay.status()["peers"]
    assert (len(peers["publishers"]), len(peers["listeners"])) == (1, 1)
