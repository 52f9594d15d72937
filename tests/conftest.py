"""What every test starts from: a host, a relay on it, and sockets that must not leak."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from harness import Host, Relay
from wire import Listener, Publisher, Sockets, join

_skipped: list[str] = []


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


@dataclass(frozen=True)
class Bus:
    """A running relay with one publisher and one listener that are known to be connected."""

    relay: Relay
    publisher: Publisher
    listener: Listener
    sockets: Sockets

    @property
    def host(self) -> Host:
        return self.relay.host


@pytest.fixture
def start_bus(relay: Relay, sockets: Sockets) -> Callable[[], Bus]:
    """Starts the bus once the test has written its config and settings."""

    def start() -> Bus:
        relay.start()
        publisher = sockets.publisher(relay.host.inbound)
        listener = sockets.listener(relay.host.outbound)
        join(publisher, listener)
        return Bus(relay, publisher, listener, sockets)

    return start


@pytest.fixture
def bus(start_bus: Callable[[], Bus]) -> Bus:
    return start_bus()
