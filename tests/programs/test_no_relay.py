"""fedmsg-logger with a relay that is away, silent, slow, killed, or one of several: no hang, no silent loss."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from bus import Bus, join
from harness import BUSY, PATIENCE, Host, Ran, wait_until
from logged import bodies, expect_logged
from ports import connections, unread
from wire import Sockets


def within(ran: Ran, seconds: float) -> None:
    """It gave up when it was told to, and not before."""
    assert seconds - 0.1 <= ran.seconds
    assert ran.within(seconds)


@pytest.mark.parametrize("stdin", ["one\n", "one\ntwo\n" * 500], ids=["one line", "many lines"])
def test_no_relay_is_one_line_saying_where_it_looked_in_the_time_given(host: Host, stdin: str) -> None:
    ran = host.run("fedmsg-logger", "--timeout", "1", stdin=stdin)
    assert ran.code == 69
    assert host.inbound in ran.one_error_line()
    within(ran, 1)


def test_input_with_nothing_to_send_is_refused_without_a_relay(host: Host) -> None:
    ran = host.run("fedmsg-logger", "--timeout", "60", stdin=b"\xff\n")
    assert ran.code == 65
    assert "line 1" in ran.one_error_line()
    assert ran.within(0)


def test_a_host_name_that_does_not_exist_is_not_a_relay(host: Host) -> None:
    host.configure("tcp://relay.invalid:9941")
    ran = host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
    assert ran.code == 69
    assert "tcp://relay.invalid:9941" in ran.one_error_line()
    assert ran.within(1)


def silent_server() -> socket.socket:
    """Accepts connections (the kernel does) and never says a word."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def address_of(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_port_that_accepts_and_never_speaks_is_not_a_relay(host: Host) -> None:
    with silent_server() as server:
        host.configure(address_of(server))
        ran = host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
        assert ran.code == 69
        assert address_of(server) in ran.one_error_line()
        within(ran, 1)


def test_a_relay_that_has_stopped_answering_is_not_a_relay(bus: Bus) -> None:
    bus.relay.running.send_signal(signal.SIGSTOP)
    ran = bus.host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
    bus.relay.running.send_signal(signal.SIGCONT)
    assert ran.code == 69
    within(ran, 1)


def test_a_relay_that_stops_taking_half_way_is_reported_in_the_time_given(bus: Bus) -> None:
    lines = "".join(f"line {n} {'x' * 1000}\n" for n in range(30_000))
    source = bus.host.write("lines", lines)
    script = f"(head -n 1 {source}; read go < pipe; tail -n +2 {source}) | fedmsg-logger --timeout 2"
    bus.host.run("/usr/bin/mkfifo", "pipe")
    logger = bus.host.start("/bin/sh", "-c", script)
    wait_until(lambda: bus.listener.hear(0.1), "the first line")
    bus.relay.running.send_signal(signal.SIGSTOP)
    (bus.host.directory / "pipe").write_text("go\n")
    code = logger.wait(timeout=2 + BUSY)
    bus.relay.running.send_signal(signal.SIGCONT)
    assert code == 69
    assert bus.host.inbound in logger.stderr()
    assert "Traceback" not in logger.stderr()


class Writer:
    """Writes lines to a pipe beside the test, and shows how far it has come."""

    def __init__(self, pipe: IO[bytes], lines: list[bytes]) -> None:
        self.written = 0
        self._seen = (0, 0.0)
        self._pipe, self._lines = pipe, lines
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def _write(self) -> None:
        for line in self._lines:
            self._pipe.write(line)
            self.written += 1
        self._pipe.flush()

    def stuck_or_done(self) -> bool:
        now = time.monotonic()
        if self._seen[0] != self.written or not self.written:
            self._seen = (self.written, now)
        return not self.thread.is_alive() or now - self._seen[1] > 0.5


def test_a_relay_that_pauses_costs_no_line(bus: Bus) -> None:
    text = "x" * 1000
    with bus.host.piped("fedmsg-logger") as pipe:
        pipe.write(b"first\n")
        pipe.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "first"}
        bus.relay.running.send_signal(signal.SIGSTOP)
        writer = Writer(pipe, [f"{n} {text}\n".encode() for n in range(30_000)])
        wait_until(writer.stuck_or_done, "the logger waits for the relay")
        bus.relay.running.send_signal(signal.SIGCONT)
        writer.thread.join(PATIENCE)
    expect_logged(bus, [{"log": f"{n} {text}"} for n in range(30_000)])


def test_a_relay_that_is_killed_with_a_message_unread_is_reported(bus: Bus) -> None:
    with bus.host.piped("fedmsg-logger", code=69) as pipe:
        pipe.write(b"first\n")
        pipe.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "first"}
        bus.relay.running.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{bus.relay.running.pid}/status")
        wait_until(lambda: "T (stopped)" in status.read_text(), "the relay has stopped")
        pipe.write(b"never read\n")
        pipe.flush()
        wait_until(lambda: unread(bus.host.inbound), "the message waits at the relay")
        bus.relay.kill()
        wait_until(lambda: not connections(bus.host.inbound), "everyone has noticed")


def test_lines_after_a_restart_of_the_relay_arrive(bus: Bus) -> None:
    with bus.host.piped("fedmsg-logger") as lines:
        lines.write(b"before\n")
        lines.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "before"}
        assert bus.relay.stop() == 0
        bus.relay.start()
        join(bus.publisher, bus.listener)
        lines.write(b"after\n")
        lines.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "after"}


def test_every_address_that_was_tried_is_named(host: Host) -> None:
    tried = [host.inbound, f"tcp://127.0.0.1:{host.port()}"]
    host.configure(tried)
    ran = host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
    assert ran.code == 69
    for address in tried:
        assert address in ran.one_error_line()


def dead_addresses(host: Host, server: socket.socket) -> Sequence[str]:
    return [f"tcp://127.0.0.1:{host.port()}", address_of(server), "tcp://relay.invalid:9941"]


def test_the_second_relay_is_used_when_the_first_is_dead(shared_bus: Bus, host: Host) -> None:
    with silent_server() as server:
        for n, dead in enumerate(dead_addresses(host, server)):
            host.configure([dead, shared_bus.host.inbound], [shared_bus.host.outbound])
            ran = host.run("fedmsg-logger", stdin=f"{n} one\n{n} two\n")
            assert (ran.code, ran.stderr) == (0, "")
            expect_logged(shared_bus, [{"log": f"{n} one"}, {"log": f"{n} two"}])


def test_with_two_relays_alive_a_message_goes_to_one_of_them(bus: Bus, host: Host, sockets: Sockets) -> None:
    second_in = f"tcp://127.0.0.1:{host.port()}"
    bus.host.write("relay.toml", f"[bind]\ninbound = ['{bus.host.inbound}', '{second_in}']\n")
    assert bus.relay.stop() == 0
    bus.relay.start()
    host.configure([bus.host.inbound, second_in], [bus.host.outbound])
    fresh = sockets.listener(bus.host.outbound)
    publisher = sockets.publisher(bus.host.inbound)
    join(publisher, fresh)
    for n in range(5):
        assert host.run("fedmsg-logger", "--message", str(n)).code == 0
    assert [body["msg"]["log"] for body in bodies(fresh, 5)] == [str(n) for n in range(5)]


def test_a_name_with_an_ipv6_and_an_ipv4_address_is_reached(shared_bus: Bus, host: Host) -> None:
    # The relay listens on IPv4 only, while localhost may well resolve to ::1 first.
    port = shared_bus.host.inbound.rpartition(":")[2]
    host.configure(f"tcp://localhost:{port}", [shared_bus.host.outbound])
    ran = host.run("fedmsg-logger", "--message", "by name")
    assert (ran.code, ran.stderr) == (0, "")
    expect_logged(shared_bus, [{"log": "by name"}])
