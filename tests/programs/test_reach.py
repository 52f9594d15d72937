"""endpoints --check: does this host reach the relay?"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator

import pytest

from bus import Bus
from harness import SILENT_RESOLVER, Host, Ran
from messages import numbered
from ports import occupied
from relays import Relay


def check(host: Host, *options: str, seconds: float = 1) -> Ran:
    return host.run("fedmsg-relay", "endpoints", "--check", f"--timeout={seconds:g}", *options)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """An address where each connection gets the answer, and then the end of file."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection, contextlib.suppress(ConnectionError):
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1024):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@contextlib.contextmanager
def dropping() -> Iterator[str]:
    """An address without any answer: requests for a connection are dropped, as by a firewall."""
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # the kernel drops what asks while so many wait
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_host_that_reaches_its_relay_is_told_so(submit_bus: Bus) -> None:
    ran = check(submit_bus.host, seconds=20)
    assert (ran.code, ran.stderr) == (0, "")
    assert re.fullmatch(r"OK - 3 addresses can be reached \| time=[0-9.]+ms\n", ran.stdout)


def test_the_relay_takes_a_check_for_a_peer_that_came_and_went(submit_bus: Bus) -> None:
    for _ in range(3):
        assert check(submit_bus.host, seconds=20).code == 0
    submit_bus.publisher.send_all(numbered(3))
    submit_bus.listener.expect(numbered(3))
    assert submit_bus.relay.status()["connections"]["handshake_failed"] == 0
    assert not submit_bus.relay.log_lines("handshake failed")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_each_address_without_a_relay_is_named(lonely: Host, options: list[str]) -> None:
    ran = check(lonely, *options)
    assert (ran.code, ran.stderr) == (2, "")
    named = {"relay_inbound": lonely.inbound, "relay_outbound": lonely.outbound, "relay_submit": lonely.submit}
    if options:
        found = json.loads(ran.stdout)
        assert found["ok"] is False
        assert {one["endpoint"]: one["address"] for one in found["addresses"] if one["error"]} == named
    else:
        assert ran.stdout.startswith("CRITICAL - cannot be reached: ")
        assert all(f"{endpoint} {address}: " in ran.stdout for endpoint, address in named.items())


def test_one_of_two_relays_that_cannot_be_reached_is_a_warning(host: Host, relay: Relay) -> None:
    relay.start()
    dead = f"tcp://127.0.0.1:{host.port()}"
    host.configure([host.inbound, dead], [host.outbound])
    ran = check(host)
    assert ran.code == 1
    assert ran.stdout == f"WARNING - cannot be reached: relay_inbound {dead}: Connection refused\n"


def test_a_port_that_accepts_and_never_greets_is_not_reached(host: Host) -> None:
    silent = host.port()
    with occupied(silent):
        ran = check(host, f"--inbound=tcp://127.0.0.1:{silent}")
    assert ran.code == 2
    assert "no answer within 1 s" in ran.stdout
    assert ran.within(1)


def test_a_firewall_that_drops_takes_no_longer_than_it_may(host: Host) -> None:
    with dropping() as address:
        ran = check(host, f"--submit={address}", f"--inbound={address}", f"--outbound={address}")
    assert ran.code == 2
    assert ran.stdout.count(f"{address}: no answer within 1 s") == 3
    assert ran.within(1)


def test_a_resolver_that_stays_silent_takes_no_longer_than_it_may(host: Host) -> None:
    host.write("silent/sitecustomize.py", SILENT_RESOLVER)
    silent = {"PYTHONPATH": str(host.directory / "silent")}
    address = "tcp://relay.example.org:9941"
    ran = host.run("fedmsg-relay", "endpoints", "--check", "--timeout=1", f"--inbound={address}", env=silent)
    assert ran.code == 2
    assert f"{address}: no answer within 1 s" in ran.stdout
    assert ran.within(1)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "the answer is not ZeroMQ"),
        (b"", "it closes the connection"),
        (b"\xff" + bytes(8) + b"\x7f\x03\x00NULL", "it closes the connection"),
    ],
    ids=["ssh", "nothing", "half a greeting"],
)
def test_a_server_that_is_not_a_relay_is_not_reached(host: Host, answer: bytes, says: str) -> None:
    with answering(answer) as address:
        ran = check(host, f"--inbound={address}", seconds=20)
    assert ran.code == 2
    assert ran.stdout == f"CRITICAL - cannot be reached: relay_inbound {address}: {says}\n"


def test_another_endpoint_than_the_one_meant_is_not_reached(submit_bus: Bus) -> None:
    ran = check(submit_bus.host, f"--submit={submit_bus.host.outbound}", seconds=20)
    assert ran.code == 2
    assert f"relay_submit {submit_bus.host.outbound}: " in ran.stdout


def test_addresses_given_need_no_config(submit_bus: Bus) -> None:
    (submit_bus.host.directory / "fedmsg.d" / "relay.py").unlink()
    assert check(submit_bus.host, f"--submit={submit_bus.host.submit}", seconds=20).code == 0


@pytest.mark.parametrize("config", ["config = {\n", "config = {}\n", "config = {'relay_inbound': ['tcp://*:9941']}\n"])
def test_a_check_without_a_config_that_serves_is_unknown(host: Host, config: str) -> None:
    host.write("fedmsg.d/relay.py", config)
    ran = check(host)
    assert ran.code == 3
    assert ran.stdout.startswith("UNKNOWN - ")


def test_a_check_that_is_used_wrongly_is_unknown(host: Host) -> None:
    ran = host.run("fedmsg-relay", "endpoints", "--check", "--timeout=-1")
    assert ran.code == 3
    assert ran.stdout.startswith("UNKNOWN - ")
