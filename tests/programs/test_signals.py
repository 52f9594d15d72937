"""Stopping loses nothing that was sent, and a signal during the start is handled after it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus import Bus, StartBus, join
from harness import BUSY, COMMANDS, Host, wait_until
from messages import numbered
from raw import RawPeer, framed
from relays import Relay
from wire import Sockets

ENDS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", ENDS * 3)
def test_messages_sent_before_the_signal_are_published(bus: Bus, number: signal.Signals) -> None:
    # The relay stands still while a publisher sends and leaves, so all of it waits unread in the
    # kernel when the signal comes: the hardest case of "sent before".
    sent = numbered(2000)
    script = Sockets()
    publisher = script.publisher(bus.host.inbound)
    bus.relay.running.send_signal(signal.SIGSTOP)
    publisher.send_all(sent)
    script.leave()
    bus.relay.running.send_signal(number)
    bus.relay.running.send_signal(signal.SIGCONT)
    bus.listener.expect(sent)
    assert bus.relay.running.wait() == 0


@pytest.mark.parametrize("number", ENDS)
def test_the_last_log_line_has_the_totals(bus: Bus, number: signal.Signals) -> None:
    before = bus.relay.status()["messages"]
    bus.publisher.send_all(numbered(20))
    bus.publisher.send(b"org.example", b"not json")
    bus.publisher.send_all(numbered(1, start=20))
    bus.listener.expect(numbered(21))
    assert bus.relay.stop(number) == 0
    last = bus.relay.log().splitlines()[-1]
    assert " stop " in last
    assert f"received={before['received'] + 22}" in last
    assert f"published={before['published'] + 21}" in last
    assert f"dropped={before['dropped'] + 1}" in last


def test_stopping_under_traffic_publishes_everything_it_counted(bus: Bus) -> None:
    before = bus.relay.status()["messages"]["published"]
    sent = numbered(20_000)
    bus.publisher.send_all(sent[:10_000])
    bus.listener.expect(sent[:1])
    bus.relay.running.send_signal(signal.SIGTERM)
    bus.publisher.send_all(sent[10_000:])
    assert bus.relay.running.wait() == 0
    last = bus.relay.log().splitlines()[-1]
    published = int(last.split("published=")[1].split()[0]) - before
    assert published >= 1
    bus.listener.expect(sent[1:published])


def test_a_connected_publisher_loses_nothing_over_a_restart(bus: Bus) -> None:
    assert bus.relay.stop() == 0
    bus.publisher.send_all(numbered(50))
    bus.relay.start()
    wait_until(lambda: bus.relay.status()["messages"]["received"] == 50, "all 50 are received")
    join(bus.publisher, bus.listener)
    bus.publisher.send_all(numbered(5))
    bus.listener.expect(numbered(5))


def test_the_ports_are_free_at_once_after_a_stop(bus: Bus) -> None:
    for _ in range(3):
        assert bus.relay.stop() == 0
        bus.relay.start()


def test_newcomers_do_not_prolong_a_stop(bus: Bus) -> None:
    stopped = threading.Event()

    def keep_coming() -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError, AssertionError):
                RawPeer(bus.host.inbound, timeout=0.5).shake_hands().close()

    crowd = [threading.Thread(target=keep_coming) for _ in range(4)]
    for thread in crowd:
        thread.start()
    try:
        # A drain that has something to do: otherwise it is over before anyone comes.
        bus.publisher.send_all(numbered(20_000))
        bus.relay.running.send_signal(signal.SIGTERM)
        assert bus.relay.running.wait(timeout=8 + BUSY) == 0
        assert not bus.relay.log_lines("did not close")
    finally:
        stopped.set()
        for thread in crowd:
            thread.join()


def test_stopping_does_not_wait_for_a_listener_that_stands_still(bus: Bus) -> None:
    still = bus.sockets.listener(bus.host.outbound)
    join(bus.publisher, bus.listener, still)
    body = b'"' + b"x" * 1_000_000 + b'"'
    for n in range(60):
        message = (b"org.example.%d" % n, body)
        bus.publisher.send(*message)
        bus.listener.expect([message])
    bus.relay.running.send_signal(signal.SIGTERM)
    assert bus.relay.running.wait(timeout=20 + BUSY) == 0


def test_a_stop_without_traffic_takes_no_time_to_speak_of(bus: Bus) -> None:
    # An idle publisher and one that leaves at this moment are no reason to wait.
    for _ in range(5):
        RawPeer(bus.host.inbound).finish()
        bus.relay.running.send_signal(signal.SIGTERM)
        assert bus.relay.running.wait(timeout=5 + BUSY) == 0
        assert not bus.relay.log_lines("did not close")
        bus.relay.start()
        join(bus.publisher, bus.listener)


HASTY = """\
import sys
from fedmsg_relay.commands import relay as cli
from fedmsg_relay.daemon import drain
drain.DRAIN_SECONDS, drain.LONGEST_DRAIN_SECONDS = map(float, sys.argv[1:])
del sys.argv[1:]
sys.exit(cli.main())
"""
"""A relay whose stop waits for a number of seconds that a test can afford."""


def hasty(relay: Relay, *seconds: float) -> Relay:
    relay.program = [COMMANDS / "python", "-c", HASTY, *map(str, seconds)]
    return relay


def test_all_that_publishers_wrote_is_published_however_long_it_takes(relay: Relay, start_bus: StartBus) -> None:
    hasty(relay, 20, 60)
    bus = start_bus()
    sent = numbered(80_000)
    writer = RawPeer(bus.host.inbound).shake_hands()

    def write() -> None:
        writer.send(framed(sent))
        writer.finish()

    with ThreadPoolExecutor(1) as beside:
        writing = beside.submit(write)
        wait_until(lambda: bus.listener.heard(sent[0]), "the first message")
        bus.relay.running.send_signal(signal.SIGTERM)
        bus.listener.expect(sent)
        writing.result()
    assert bus.relay.running.wait() == 0
    assert not bus.relay.log_lines("ERROR")


def test_a_stop_says_what_it_drops_of_a_publisher_that_goes_on_and_on(relay: Relay, start_bus: StartBus) -> None:
    hasty(relay, 1, 2)
    bus = start_bus()
    lot = framed(numbered(10_000))
    writer = RawPeer(bus.host.inbound).shake_hands()

    def write() -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.send(lot)

    with ThreadPoolExecutor(1) as beside:
        writing = beside.submit(write)
        wait_until(bus.listener.hear, "the first message")
        assert bus.listener.hear_while(bus.relay.stop) == 0
        writing.result()
    writer.close()
    assert bus.relay.log_lines("WARNING", "did not close", writer.name)
    (said,) = bus.relay.log_lines("ERROR")
    dropped = re.search(r"dropped at least (\d+) unread messages", said)
    assert dropped
    assert int(dropped[1]) > 0


class StandStill:
    """Makes a start stand still at the last file it reads, where outbound is bound and nobody was let in yet."""

    def __init__(self, host: Host) -> None:
        self._file = host.directory / "state" / "identity"
        self._file.unlink(missing_ok=True)
        os.mkfifo(self._file)
        self._end = -1

    def reached(self) -> bool:
        with contextlib.suppress(OSError):  # nobody reads yet
            self._end = os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
        return self._end >= 0

    def end(self) -> None:
        os.write(self._end, b"some-host-0a1b2c3d\n")
        os.close(self._end)
        self._file.unlink()


@pytest.mark.parametrize("number", ENDS)
def test_a_stop_during_the_start_loses_nothing(bus: Bus, number: signal.Signals) -> None:
    assert bus.relay.stop() == 0
    sent = numbered(50)
    bus.publisher.send_all(sent)
    pause = StandStill(bus.host)
    starting = bus.relay.launch()
    wait_until(pause.reached, "the start stands still")
    starting.send_signal(number)
    pause.end()
    assert starting.wait() == 0
    assert bus.relay.log_lines(f"[{starting.pid}] stop ")
    bus.relay.start()
    bus.listener.expect(sent)


def test_the_journal_opens_first_then_listeners_are_let_in_then_others(relay: Relay) -> None:
    pause = StandStill(relay.host)
    relay.launch()
    wait_until(pause.reached, "the start stands still")
    RawPeer(relay.host.outbound).shake_hands(b"SUB").close()
    with pytest.raises(ConnectionRefusedError):
        RawPeer(relay.host.inbound)
    pause.end()
    relay.systemd.wait_for("READY=1")
    RawPeer(relay.host.inbound).shake_hands().close()


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGUSR1, "log reopened"), (signal.SIGHUP, "reloaded")], ids=["USR1", "HUP"]
)
def test_a_signal_during_the_start_is_handled_when_it_has_started(
    relay: Relay, number: signal.Signals, told: str
) -> None:
    pause = StandStill(relay.host)
    starting = relay.launch()
    wait_until(pause.reached, "the start stands still")
    starting.send_signal(number)
    pause.end()
    relay.wait_for_log(f"[{starting.pid}]", told)
    relay.systemd.wait_for("READY=1")
    assert relay.status()["relay"]["pid"] == starting.pid
