"""The relay tells systemd: ready, reloading, stopping, and a watchdog that is fed."""

from __future__ import annotations

from bus import Bus
from harness import Host, wait_until
from relays import Relay


def test_the_service_manager_hears_ready_status_and_stopping(relay: Relay) -> None:
    relay.start()
    assert any(line.startswith("STATUS=") for line in relay.systemd.listen())
    assert relay.stop() == 0
    relay.systemd.wait_for("STOPPING=1")
    told = [line for line in relay.systemd.listen() if line in ("READY=1", "STOPPING=1")]
    assert told == ["READY=1", "STOPPING=1"]


def test_the_service_manager_hears_of_a_reload(relay: Relay) -> None:
    relay.start()
    relay.reload()
    told = relay.systemd.listen()
    assert told.index("RELOADING=1") < told.index("READY=1")
    # Type=notify-reload wants to know when it began.
    assert any(line.startswith("MONOTONIC_USEC=") for line in told)


def test_the_watchdog_is_fed_while_the_relay_works(host: Host) -> None:
    relay = Relay(host, env={"WATCHDOG_USEC": "500000"})
    try:
        relay.start()
        relay.systemd.wait_for("WATCHDOG=1", times=4)
    finally:
        relay.close()


def test_without_a_watchdog_nothing_is_fed(bus: Bus) -> None:
    assert "WATCHDOG=1" not in bus.relay.systemd.listen()


def test_ready_means_that_the_ports_listen(relay: Relay) -> None:
    relay.launch()
    wait_until(lambda: "READY=1" in relay.systemd.listen(), "the relay is ready")
    status = relay.status()
    assert status["endpoints"] == {"inbound": [relay.host.inbound], "outbound": [relay.host.outbound], "submit": []}


def test_a_relay_that_cannot_start_never_says_ready(relay: Relay) -> None:
    relay.host.configure("tcp://relay.invalid:1", "tcp://relay.invalid:2")
    assert relay.launch().wait() == 69
    assert "READY=1" not in relay.systemd.listen()


def test_without_a_service_manager_it_runs_as_well(host: Host) -> None:
    process = host.start("fedmsg-relay")
    wait_until(lambda: host.run("fedmsg-relay", "status").code == 0, "status is OK")
    assert process.stop() == 0
