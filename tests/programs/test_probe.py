"""`fedmsg-relay probe`: a real message goes through, or it is said why not."""

from __future__ import annotations

import json
import signal
import socket

import pytest

from bus import Bus
from harness import PATIENCE, Host, wait_until
from messages import numbered
from nagios import nagios
from ports import occupied
from relays import Relay


def test_probe_sends_a_real_message_through(bus: Bus) -> None:
    before = bus.relay.status()["messages"]["published"]
    ran = bus.host.run("fedmsg-relay", "probe")
    assert (ran.code, ran.stderr) == (0, "")
    nagios(ran.stdout, "OK")
    assert bus.relay.status()["messages"]["published"] > before
    bus.publisher.send_all(numbered(1))
    bus.listener.wait_for(numbered(1)[0])


def test_probe_as_json(bus: Bus) -> None:
    ran = bus.host.run("fedmsg-relay", "probe", "--json")
    assert ran.code == 0, ran.stderr
    assert bus.host.inbound in json.dumps(json.loads(ran.stdout))


def test_probe_goes_through_every_inbound_address(host: Host, relay: Relay) -> None:
    second = f"tcp://127.0.0.1:{host.port()}"
    host.configure([host.inbound, second], [host.outbound])
    relay.start()
    ran = host.run("fedmsg-relay", "probe")
    assert ran.code == 0, ran.stdout
    assert relay.status()["messages"]["published"] >= 2


def test_probe_of_addresses_given(bus: Bus, host: Host) -> None:
    (host.directory / "fedmsg.d" / "relay.py").unlink()
    options = ["--inbound", bus.host.inbound, "--outbound", bus.host.outbound]
    ran = host.run("fedmsg-relay", "probe", *options)
    assert ran.code == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_probe_without_a_relay_is_critical_in_the_time_given(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "probe", "--timeout", "1", *options)
    assert ran.code == 2
    assert ran.within(1)
    if options:
        json.loads(ran.stdout)
    else:
        assert host.inbound in nagios(ran.stdout, "CRITICAL")


def test_probe_is_critical_when_one_of_two_inbound_addresses_is_dead(host: Host, relay: Relay) -> None:
    dead = f"tcp://127.0.0.1:{host.port()}"
    relay.start()
    host.configure([host.inbound, dead], [host.outbound])
    ran = host.run("fedmsg-relay", "probe", "--timeout", "1")
    assert ran.code == 2
    assert dead in nagios(ran.stdout, "CRITICAL")


def test_probe_is_critical_when_nothing_comes_out(bus: Bus) -> None:
    silent = f"tcp://127.0.0.1:{bus.host.port()}"
    with occupied(int(silent.rpartition(":")[2])):
        options = ["--timeout", "1", "--inbound", bus.host.inbound, "--outbound", silent]
        ran = bus.host.run("fedmsg-relay", "probe", *options)
    assert ran.code == 2
    assert silent in nagios(ran.stdout, "CRITICAL")


def test_probe_is_critical_when_the_relay_stands_still(bus: Bus) -> None:
    bus.relay.running.send_signal(signal.SIGSTOP)
    ran = bus.host.run("fedmsg-relay", "probe", "--timeout", "1")
    bus.relay.running.send_signal(signal.SIGCONT)
    assert ran.code == 2
    nagios(ran.stdout, "CRITICAL")


def test_probe_is_unknown_when_the_config_cannot_be_read(host: Host) -> None:
    host.write("fedmsg.d/relay.py", "config = {\n")
    ran = host.run("fedmsg-relay", "probe")
    assert ran.code == 3
    nagios(ran.stdout, "UNKNOWN")


@pytest.mark.parametrize("options", [["--no-such"], ["--timeout", "x"], ["--timeout", "-1"]], ids=" ".join)
def test_probe_is_unknown_when_it_is_used_wrongly(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "probe", *options)
    assert ran.code == 3
    assert "Traceback" not in ran.stderr


def test_probe_is_unknown_when_an_address_cannot_be_connected_to(host: Host) -> None:
    for where in ("--inbound", "--outbound"):
        ran = host.run("fedmsg-relay", "probe", where, "nonsense", "--timeout", "1")
        assert (ran.code, ran.stderr) == (3, "")
        assert "'nonsense'" in nagios(ran.stdout, "UNKNOWN")


def test_a_probe_that_waits_can_be_interrupted(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        probe = host.start("fedmsg-relay", "probe", "--outbound", f"tcp://127.0.0.1:{mute.getsockname()[1]}")
        mute.settimeout(PATIENCE)
        mute.accept()[0].close()
        assert (probe.stop(signal.SIGINT), probe.stdout(), probe.stderr()) == (130, "", "")


def test_probes_do_not_disturb_each_other(bus: Bus) -> None:
    probes = [bus.host.start("fedmsg-relay", "probe") for _ in range(5)]
    assert [probe.wait() for probe in probes] == [0] * 5


def test_a_probe_leaves_nothing_behind(bus: Bus) -> None:
    assert bus.host.run("fedmsg-relay", "probe").code == 0
    wait_until(lambda: len(bus.relay.status()["peers"]["publishers"]) == 1, "the probe has gone")
    wait_until(lambda: len(bus.relay.status()["peers"]["listeners"]) == 1, "the probe has gone")
