"""A listener that stands still costs itself messages, the relay a bounded queue, and the others nothing."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus import Bus, StartBus, join
from harness import COMMANDS, PATIENCE, Host, Process, wait_until
from messages import Message
from wire import Listener

MESSAGES = 500_000
BOUND = 64 * 2**20
"""The bytes that the relay may grow by: its queue for a listener is 10,000 messages, here of some 100 bytes."""

ANOTHER = """\
import sys, zmq
listener = zmq.Context().socket(zmq.SUB)
listener.connect(sys.argv[1])
listener.subscribe(b"")
while True:
    print(listener.recv_multipart()[1].decode(), flush=True)
"""


def message(number: int) -> Message:
    return b"org.example.test.slow", b'{"i":%d,"msg":{"filler":"0123456789012345678901234567890123456789"}}' % number


class OtherProcess:
    """A listener that can be stopped with a signal, as only a process can."""

    def __init__(self, host: Host) -> None:
        self.process: Process = host.start(COMMANDS / "python", "-c", ANOTHER, host.outbound)

    def heard(self, message: Message) -> bool:
        return message[1].decode() in self.process.stdout()

    def forget(self) -> None:
        """It prints what it hears; nothing is to be forgotten."""

    def address(self, bus: Bus) -> str:
        """As the relay sees it."""
        found = re.findall(
            rf"ESTAB\s.*\s(127\.0\.0\.1:\d+)\s+{bus.host.outbound[6:]}\s.*pid={self.process.pid},", sockets(bus)
        )
        assert len(found) == 1, sockets(bus)
        return str(found[0])


def sockets(bus: Bus) -> str:
    return bus.host.run("/usr/bin/env", "ss", "-tnpH").stdout


@pytest.fixture
def frozen(bus: Bus) -> OtherProcess:
    other = OtherProcess(bus.host)
    join(bus.publisher, bus.listener, other)
    return other


def send_and_hear(bus: Bus, first: int, count: int) -> None:
    """Pass messages, never more at a time than our own listener may lag behind; all of them come, in order."""
    step = 5_000
    for start in range(first, first + count, step):
        sent = [message(number) for number in range(start, min(start + step, first + count))]
        bus.publisher.send_all(sent)
        bus.listener.expect(sent)


@pytest.mark.timeout(300)
def test_a_listener_frozen_for_500000_messages_costs_the_others_nothing(bus: Bus, frozen: OtherProcess) -> None:
    address = frozen.address(bus)
    send_and_hear(bus, 0, 5_000)  # what the relay takes anyway
    before = bus.relay.memory()
    frozen.process.send_signal(signal.SIGSTOP)
    memory = []
    for start in range(5_000, MESSAGES, 45_000):
        send_and_hear(bus, start, 45_000)
        memory.append(bus.relay.memory() - before)
    assert max(memory) < BOUND, memory

    status = bus.relay.status()
    (laggard,) = status["laggards"]
    assert laggard["address"] == address
    assert MESSAGES / 2 < laggard["lost"] <= MESSAGES
    assert address in status["summary"]
    assert bus.host.run("fedmsg-relay", "status").code == 1
    bus.relay.wait_for_log("WARNING", address, "does not keep up")
    assert len(bus.relay.log_lines("does not keep up")) == 1, "it is named once, and nobody else is"

    frozen.process.send_signal(signal.SIGCONT)
    wait_until(lambda: not trickle(bus)["laggards"], "the laggard has caught up")
    lost = re.search(r"lost about (\d+)", bus.relay.wait_for_log("WARNING", address, "caught up"))
    assert lost
    heard = len(frozen.process.stdout().splitlines())
    assert int(lost[1]) == pytest.approx(MESSAGES - heard, rel=0.2), "the estimate is near what is missing"
    assert bus.host.run("fedmsg-relay", "status").code == 0
    join(bus.publisher, bus.listener, frozen)


_trickle = iter(range(10**9, 2 * 10**9))


def trickle(bus: Bus) -> dict[str, object]:
    """A little traffic, and the status: what has caught up shows when the next message reaches it."""
    sent = [message(next(_trickle))]
    bus.publisher.send_all(sent)
    bus.listener.expect(sent)
    return bus.relay.status()


def test_a_laggard_that_leaves_is_forgotten(bus: Bus, frozen: OtherProcess) -> None:
    address = frozen.address(bus)
    frozen.process.send_signal(signal.SIGSTOP)
    number = iter(range(0, 10**9, 5_000))

    def lags() -> bool:
        send_and_hear(bus, next(number), 5_000)
        return bool(bus.relay.status()["laggards"])

    wait_until(lags, "it is found", timeout=60)
    frozen.process.kill()
    wait_until(lambda: not trickle(bus)["laggards"], "it is forgotten")
    bus.relay.wait_for_log("WARNING", address, "left without catching up")
    assert bus.host.run("fedmsg-relay", "status").code == 0


def test_publishing_goes_on_fast_past_a_frozen_listener(bus: Bus, frozen: OtherProcess) -> None:
    """Its full queue may hold up the others for moments, not message by message."""
    frozen.process.send_signal(signal.SIGSTOP)
    send_and_hear(bus, 0, 60_000)
    sent = [message(number) for number in range(60_000, 80_000)]
    with ThreadPoolExecutor(1) as beside:
        sending = beside.submit(bus.publisher.send_all, sent)
        bus.listener.expect(sent, timeout=PATIENCE)
        sending.result()


def test_a_slow_listener_does_not_hold_up_submit(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    bus = start_bus()
    still: Listener = bus.sockets.stock_listener(host.outbound)  # never takes anything
    join(bus.publisher, bus.listener, still)
    client = bus.sockets.submitter(host.submit)
    for start in range(0, 40_000, 1000):
        batch = [message(number) for number in range(start, start + 1000)]
        assert client.ask(*batch)["status"] == "accepted"
        bus.listener.expect(batch)


def test_bytes_of_a_laggard_are_bounded_too(host: Host, start_bus: StartBus) -> None:
    """Several times more is sent than its queue may hold: the length of the queue is the bound."""
    host.write("relay.toml", "[journal]\nkeep_bytes = 134_217_728\n")
    bus = start_bus()
    frozen = OtherProcess(host)
    join(bus.publisher, bus.listener, frozen)
    frozen.process.send_signal(signal.SIGSTOP)
    before = bus.relay.memory()
    body = b'"' + b"x" * 8000 + b'"'
    bound = 10_000 * (len(body) + 1000) + BOUND
    lots, memory = 60, []
    assert lots * 1000 * len(body) > 3 * bound
    for lot in range(lots):
        sent = [(b"org.example.test.%d.%d" % (lot, number), body) for number in range(1000)]
        bus.publisher.send_all(sent)
        bus.listener.expect(sent)
        memory.append(bus.relay.memory() - before)
    assert max(memory) < bound, memory
    assert bus.relay.status()["laggards"]
