"""Scripts that fork: a child publishes whatever its parent was doing, and loses nothing however it ends."""

from __future__ import annotations

import json

import pytest

from bus import Bus, StartBus
from fedmsg_relay.errors import EX_CONFIG
from harness import REPOSITORY, Host, Ran, wait_until

CHILDREN, EACH = 12, 5

# What the children of a script do; it ends when the last of them has.
PYTHON = ("python", "-W", "ignore:This process:DeprecationWarning")
"""Python 3.12 and newer warn of each fork of a process that has threads, which is what these tests are about."""

PUBLISH = f"""
import multiprocessing, os, sys
import fedmsg_relay as fedmsg

def publish(child):
    for n in range({EACH}):
        fedmsg.publish(topic='child', modname='test', msg={{'child': child, 'n': n, 'text': 'x' * child * 10000}})

def fork(work, child):
    if not os.fork():
        work(child)
        os._exit(0)
"""

WAYS = {
    "os.fork": f"""
for child in range({CHILDREN}):
    fork(publish, child)
for child in range({CHILDREN}):
    os.wait()
""",
    "os.fork after a publish": f"""
fedmsg.publish(topic='parent', modname='test', msg={{}})
for child in range({CHILDREN}):
    fork(publish, child)
for child in range({CHILDREN}):
    os.wait()
""",
    "Process": f"""
children = [multiprocessing.get_context('fork').Process(target=publish, args=(n,)) for n in range({CHILDREN})]
[child.start() for child in children]
[child.join() for child in children]
""",
    "Pool": f"""
with multiprocessing.get_context('fork').Pool(3) as pool:
    pool.map(publish, range({CHILDREN}))
""",
}


@pytest.fixture(params=["inbound", "ipc", "submit"])
def forking_bus(host: Host, start_bus: StartBus, request: pytest.FixtureRequest) -> Bus:
    match request.param:
        case "submit":
            host.configure_submit()
        case "ipc":
            host.configure(inbound=f"ipc://{host.directory}/inbound", outbound=host.outbound)
            host.inbound = f"ipc://{host.directory}/inbound"
    return start_bus()


@pytest.mark.parametrize("way", WAYS)
def test_children_that_end_without_python_lose_no_message(forking_bus: Bus, way: str) -> None:
    ran = forking_bus.host.run(*PYTHON, "-c", PUBLISH + WAYS[way])
    assert (ran.code, ran.stderr) == (0, "")
    expected = [[child, n] for child in range(CHILDREN) for n in range(EACH)]
    came: list[list[int]] = []

    def all_came() -> bool:
        said = [json.loads(body)["msg"] for _, body in forking_bus.listener.hear(0.1)]
        came[:] = [[msg["child"], msg["n"]] for msg in said if "child" in msg]
        return len(came) >= len(expected)

    wait_until(all_came, f"all {len(expected)} messages")
    # Sorted by child alone, which keeps the order in which those of each came.
    assert sorted(came, key=lambda each: each[0]) == expected


AMID = """
import os, signal, sys, threading, time
import fedmsg_relay as fedmsg

def publish(who):
    try:
        fedmsg.publish(topic='t', modname='test', msg={'who': who}, timeout=TIMEOUT)
    except OSError as error:
        print(who, error, flush=True)

threading.Thread(target=publish, args=('parent',)).start()
time.sleep(DELAY)
if not os.fork():
    signal.alarm(25)  # a child that hangs is killed
    publish('child')
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def fork_amid(host: Host, delay: float, timeout: float = 10) -> Ran:
    return host.run(*PYTHON, "-c", AMID.replace("DELAY", str(delay)).replace("TIMEOUT", str(timeout)))


def test_a_fork_while_a_thread_loads_the_config_does_not_hang_the_child(bus: Bus) -> None:
    config = bus.host.directory / "fedmsg.d" / "relay.py"
    config.write_text(f"import time\ntime.sleep(1)\n{config.read_text()}")
    ran = fork_amid(bus.host, 0.7)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")
    wait_until(lambda: len(bus.listener.hear(0.1)) == 2, "the messages of parent and child")


def test_a_fork_at_any_moment_of_the_first_publish_does_not_hang_the_child(bus: Bus) -> None:
    delays = [n * 0.01 for n in range(12)]
    for delay in delays:
        ran = fork_amid(bus.host, delay)
        assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")
    wait_until(lambda: len(bus.listener.hear(0.1)) == 2 * len(delays), "the messages of parents and children")


def test_a_fork_while_a_thread_waits_for_a_relay_does_not_hang_the_child(host: Host) -> None:
    ran = fork_amid(host, 1, timeout=2)
    assert (ran.code, ran.stderr) == (0, "")
    assert sorted(line.partition(" no relay answered within 2 s ")[0] for line in ran.stdout.splitlines()) == [
        "child",
        "parent",
    ]


WITHOUT = ("python", "-S", "-c")
"""Python without the packages that are installed."""


def test_without_pyzmq_publish_says_which_package_is_missing(host: Host) -> None:
    script = """
import fedmsg_relay
for attempt in range(2):
    try:
        fedmsg_relay.publish('t', {}, 'm')
    except ValueError as error:
        print(error)
"""
    ran = host.run(*WITHOUT, script, env={"PYTHONPATH": str(REPOSITORY / "src")})
    assert (ran.code, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == 2
    assert all("the Python package pyzmq" in line and "not installed" in line for line in ran.stdout.splitlines())


def test_without_pyzmq_the_logger_says_which_package_is_missing(host: Host) -> None:
    command = "from fedmsg_relay.logger import main; main()"
    ran = host.run(*WITHOUT, command, "--message=x", env={"PYTHONPATH": str(REPOSITORY / "src")})
    assert ran.code == EX_CONFIG
    assert "the Python package pyzmq" in ran.one_error_line()
