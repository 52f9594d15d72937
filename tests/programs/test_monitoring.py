"""Stock's monitoring goes on working: `fedmsg-check`, and checks that read its socket themselves."""

from __future__ import annotations

import contextlib
import json
import stat
from typing import Any

import pytest
import zmq

import stock
from bus import Bus, StartBus
from fedmsg_relay.daemon.monitoring import CONNECTIONS
from harness import PATIENCE, Host
from messages import numbered
from ports import HeldPort
from raw import PING, RawPeer, frame
from relays import Relay
from wire import Sockets

SOCKET = "monitoring.socket"


@pytest.fixture
def address(host: Host) -> str:
    address = f"ipc://{host.directory}/{SOCKET}"
    config = {"moksha.monitoring.socket": address, "moksha.monitoring.socket.mode": "0640"}
    host.write("fedmsg.d/monitoring.py", f"config = {config!r}\n")
    return address


@pytest.fixture
def monitored(address: str, start_bus: StartBus) -> Bus:
    assert address
    return start_bus()


def beat(sockets: Sockets, address: str) -> dict[str, Any]:
    """The next message of the monitoring."""
    with contextlib.closing(sockets.context.socket(zmq.SUB)) as listener:
        listener.linger = 0
        listener.subscribe(b"")
        listener.connect(address)
        assert listener.poll(int(PATIENCE * 1000)), "nothing is published for the monitoring"
        (frame,) = listener.recv_multipart()
        told: dict[str, Any] = json.loads(frame)
        return told


def test_stock_fedmsg_check_finds_the_relay(monitored: Bus) -> None:
    wanted = ("--consumer", "RelayConsumer", "--producer", "MonitoringProducer", "--timeout", "20")
    ran = stock.run(monitored.host, "fedmsg-check", *wanted)
    assert ran.code == 0, ran.stderr
    assert "All consumers and producers are active!" in ran.stdout
    assert stock.run(monitored.host, "fedmsg-check", "--consumer", "Other", "--timeout", "20").code != 0


def test_it_counts_since_the_last_time(monitored: Bus, address: str) -> None:
    beat(monitored.sockets, address)
    sent = numbered(40)
    monitored.publisher.send_all(sent)
    monitored.listener.wait_for(sent[-1])
    heard = [beat(monitored.sockets, address)["consumers"][0] for _ in range(2)]
    assert sum(one["headcount_in"] for one in heard) == sum(one["headcount_out"] for one in heard) == 40
    assert heard[-1]["backlog"] == 0
    assert stat.S_IMODE((monitored.host.directory / SOCKET).stat().st_mode) == 0o640


def test_a_peer_that_pings_into_a_full_queue_ends_nothing(host: Host, start_bus: StartBus) -> None:
    """libzmq's own socket ends the process then."""
    port = HeldPort()
    address = f"tcp://127.0.0.1:{port.number}"
    host.write("fedmsg.d/monitoring.py", f"config = {{'moksha.monitoring.socket': {address!r}}}\n")
    port.release()
    bus = start_bus()
    let_in = 0
    for _ in range(5 * CONNECTIONS):
        with contextlib.suppress(OSError, AssertionError):  # too many are turned away
            peer = RawPeer(address).shake_hands(b"SUB")
            peer.send(frame(b"\x01a") * 1500 + PING)
            peer.reset()
            let_in += 1
    assert let_in >= CONNECTIONS
    for _ in range(2):
        beat(bus.sockets, address)
    assert bus.relay.stop() == 0


def test_it_has_the_form_of_stocks(address: str, host: Host, sockets: Sockets) -> None:
    def form(told: dict[str, Any]) -> dict[str, Any]:
        return {
            part["name"]: {key: type(value) for key, value in part.items()}
            for part in [*told["consumers"], *told["producers"]]
            if part["name"] in {"RelayConsumer", "MonitoringProducer"}
        }

    theirs = stock.StockRelay(host)
    of_stock = form(beat(sockets, address))
    theirs.process.kill()
    with contextlib.closing(Relay(host)) as relay:
        relay.start()
        assert form(beat(sockets, address)) == of_stock


def test_a_socket_that_cannot_be_bound_is_logged_and_the_relay_goes_on(host: Host, relay: Relay) -> None:
    host.write("fedmsg.d/monitoring.py", "config = {'moksha.monitoring.socket': 'ipc:///nowhere/at/all'}\n")
    relay.start()
    relay.wait_for_log("moksha.monitoring.socket ipc:///nowhere/at/all cannot be used")
    assert relay.stop() == 0
