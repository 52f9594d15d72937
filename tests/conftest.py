"""The common start of tests: a host, a relay on it, and sockets that must not leak."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import pytest

from bridged import Bridge
from broker import Broker, Exchange
from broker import shared as broker_of_all
from bus import Bus, StartBus, join
from harness import Host
from pairs import Pair, pair_of
from pki import Pki
from relays import Relay
from rendered import render
from signing import Trust
from sites import Site
from submitted import last_seq
from wire import Sockets, Submitter

_skipped: list[str] = []
"""Tests and files that were skipped; with xdist the process that reports hears of those of its workers."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped and os.environ.get("CI"):
        print(f"\nskipped, which CI does not allow: {' '.join(_skipped)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-rounds", type=int, default=80, help="how often test_kill kills the relay (default: 80)")
    parser.addoption(
        "--down-seconds", type=float, default=30, help="how long test_relay_down has no relay (default: 30)"
    )
    parser.addoption("--attack-seconds", type=float, default=2, help="how long a peer misbehaves (default: 2)")
    parser.addoption("--flood-seconds", type=float, default=10, help="how long test_overload floods (default: 10)")
    parser.addoption("--cut-rounds", type=int, default=12, help="faults of test_chained_echo (default: 12)")
    parser.addoption("--stops", type=int, default=2, help="how often test_chained_stops stops a relay (default: 2)")
    parser.addoption("--bridge-kills", type=int, default=10, help="how often test_bridge_* kill a bridge (default: 10)")
    parser.addoption("--broker-kills", type=int, default=3, help="how often they end the broker (default: 3)")
    parser.addoption("--node-kills", type=int, default=1, help="how often they kill a node of a cluster (default: 1)")
    parser.addoption("--seed", type=int, default=1, help="of what tests draw at random; 0: another each time")


def pytest_configure(config: pytest.Config) -> None:
    """Let each run draw the same examples, so that a failure is due to the change; ``--seed 0`` looks for others."""
    hypothesis.settings.register_profile("run", deadline=None, derandomize=config.getoption("--seed") != 0)
    hypothesis.settings.load_profile("run")


@pytest.fixture(autouse=True)
def unit_tests_start_no_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of tests/unit that starts a process fails: it belongs to tests/programs."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a unit test starts a process: move it to tests/programs")

    if request.path.parent.name == "unit":
        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of random tests; a failure prints it, to run the same again."""
    seed: int = request.config.getoption("--seed") or time.time_ns() % 10**9
    print(f"--seed {seed}")
    return seed


@pytest.fixture
def root() -> None:
    """A test that acts as two other users needs root: without it the test fails, and does not skip."""
    if os.geteuid() != 0:
        pytest.fail("this test acts as two other users and so needs root", pytrace=False)


@pytest.fixture
def host() -> Iterator[Host]:
    with contextlib.closing(Host()) as host:
        yield host


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with contextlib.closing(Sockets()) as sockets:
        yield sockets


@pytest.fixture
def relay(host: Host) -> Iterator[Relay]:
    """A relay that has not been started, so that a test can change what it starts with."""
    with contextlib.closing(Relay(host)) as relay:
        yield relay


def connected(relay: Relay, sockets: Sockets) -> Bus:
    relay.start()
    publisher = sockets.publisher(relay.host.inbound)
    listener = sockets.listener(relay.host.outbound)
    join(publisher, listener)
    return Bus(relay, publisher, listener, sockets)


@pytest.fixture
def start_bus(relay: Relay, sockets: Sockets) -> StartBus:
    """Starts the bus once the test has written its config and settings."""

    return partial(connected, relay, sockets)


@pytest.fixture
def bus(start_bus: StartBus) -> Bus:
    return start_bus()


@pytest.fixture
def submit_bus(host: Host, start_bus: StartBus) -> Bus:
    """A bus whose global config names submit and a spool as well."""
    host.configure_submit()
    return start_bus()


@pytest.fixture
def submitter(submit_bus: Bus) -> Submitter:
    return submit_bus.sockets.submitter(submit_bus.host.submit)


@pytest.fixture
def last(submit_bus: Bus) -> int:
    """The newest number in the journal; the next message gets the one after it."""
    return last_seq(submit_bus)


@pytest.fixture
def lonely(host: Host) -> Host:
    """A host with a spool whose relay is down."""
    host.configure_submit()
    return host


@pytest.fixture(scope="module")
def module_bus() -> Iterator[Bus]:
    with (
        contextlib.closing(Host()) as host,
        contextlib.closing(Relay(host)) as relay,
        contextlib.closing(Sockets()) as sockets,
    ):
        yield connected(relay, sockets)


@pytest.fixture
def shared_bus(module_bus: Bus) -> Bus:
    """One bus for all tests of a module that leave the relay as they found it."""
    join(module_bus.publisher, module_bus.listener)
    return module_bus


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@pytest.fixture
def site() -> Iterator[Callable[[], Site]]:
    with contextlib.ExitStack() as stack:

        def make() -> Site:
            return stack.enter_context(contextlib.closing(Site()))

        yield make


@pytest.fixture
def old(site: Callable[[], Site]) -> Site:
    return site()


@pytest.fixture
def new(site: Callable[[], Site]) -> Site:
    return site()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Broker]:
    """A RabbitMQ for all tests that leave it as they found it."""
    directory = tmp_path_factory.getbasetemp()
    with broker_of_all(directory if worker_id == "master" else directory.parent) as broker:
        yield broker


@pytest.fixture
def exchange(broker: Broker) -> Exchange:
    """An exchange of this test alone."""
    return Exchange(broker)


@pytest.fixture
def bridge(host: Host, exchange: Exchange) -> Iterator[Bridge]:
    """A bridge that has not been started."""
    with contextlib.closing(Bridge(host, exchange)) as bridge:
        yield bridge


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trust]:
    trust = Trust(tmp_path_factory.mktemp("pki"))
    with contextlib.closing(trust.stock):
        yield trust


@pytest.fixture
def submit_signing_bus(trust: Trust, submit_bus: Bus) -> Bus:
    trust.configure(submit_bus.host)
    return submit_bus


@pytest.fixture
def pair(host: Host) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(contextlib.closing(Host())) for _ in range(2)]
        pair = pair_of(host, [stack.enter_context(contextlib.closing(Relay(one))) for one in hosts])
        pair.configure()
        yield pair


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the role would write on hosts of every operating system."""
    out = tmp_path_factory.mktemp("rendered")
    render(out)
    return out
