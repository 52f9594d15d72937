"""The cost of a one-off script: it loads only what it needs, and does not sleep. script/bench measures the time."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from run_ca import Ca

import stock
from bus import Bus
from harness import Host, Ran, wait_until

RUNS = 7

# The command in a process where each sleep fails.
SLEEPLESS = """
import time

def sleep(seconds):
    raise AssertionError(f'sleeps for {seconds} s')

time.sleep = sleep
from fedmsg_relay.logger import main
main()
"""


def cpu_seconds(run: Callable[[], Ran]) -> float:
    """The processor time of a command that has ended. Other work on the machine hardly changes it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = run()
    assert ran.code == 0, ran.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def delivered(bus: Bus, expected: list[str]) -> bool:
    logs = [json.loads(body)["msg"].get("log") for _, body in bus.listener.hear(0.1)]
    return [log for log in logs if log != "stock"] == expected


def ours(host: Host, text: str) -> Ran:
    return host.run("fedmsg-logger", "--message", text)


def sign(host: Host, directory: Path) -> None:
    """Let the scripts of a host sign."""
    ca = Ca(directory)
    ca.init()
    ca.issue("a")
    certnames = {f"shell.{os.uname().nodename.partition('.')[0]}": "a"}
    config = {"sign_messages": True, "ssldir": str(directory), "certnames": certnames}
    host.write("fedmsg.d/sign.py", f"config = {config!r}\n")


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_cold_logger_takes_less_than_half_of_stocks_processor_time(bus: Bus, tmp_path: Path, signed: bool) -> None:
    if signed:
        sign(bus.host, tmp_path)
    ratios = []
    for n in range(RUNS):
        cost = cpu_seconds(partial(ours, bus.host, str(n)))
        ratios.append(cost / cpu_seconds(partial(stock.run, bus.host, "fedmsg-logger", "--message", "stock")))
    wait_until(partial(delivered, bus, [str(n) for n in range(RUNS)]), "every message of ours")
    assert median(ratios) < 0.45, ratios  # about 0.2, signed or not


def test_a_cold_logger_does_not_sleep(submit_bus: Bus) -> None:
    host = submit_bus.host
    for address in ("submit", "inbound"):
        if address == "inbound":
            host.configure()
        ran = host.run("python", "-c", SLEEPLESS, "--message", address)
        assert (ran.code, ran.stderr) == (0, "")
    wait_until(partial(delivered, submit_bus, ["submit", "inbound"]), "both messages")


NEVER_LOADED = {"cryptography.x509", "cryptography.hazmat.primitives.serialization.ssh", "ast", "uuid"}
SIGNING = {"fedmsg_relay.signing", "fedmsg_relay.canonical", "fedmsg_relay.pem", "cryptography", "base64"}


def loaded(host: Host) -> set[str]:
    """The modules that a logger loads."""
    command = "from fedmsg_relay.logger import main; main()"
    ran = host.run("python", "-X", "importtime", "-c", command, "--message", "x")
    assert ran.code == 0, ran.stderr
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}


def test_a_logger_loads_the_signing_only_to_sign_and_no_slow_modules(bus: Bus, tmp_path: Path) -> None:
    host = bus.host
    assert "fedmsg_relay.publisher" in loaded(host)
    assert not loaded(host) & (SIGNING | NEVER_LOADED)
    sign(host, tmp_path)
    assert loaded(host) >= {*SIGNING, "cryptography.hazmat.primitives.asymmetric.rsa"}
    assert not loaded(host) & NEVER_LOADED
