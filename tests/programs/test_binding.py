"""The addresses of the config that a relay binds, and its message when it cannot."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from bus import Bus, StartBus, join
from harness import Host
from messages import numbered
from ports import has_ipv6, occupied
from relays import Relay
from wire import Sockets


def port(address: str) -> str:
    return address.rpartition(":")[2]


def carries(sockets: Sockets, inbound: str, outbound: str) -> None:
    """A message really gets from one address to the other."""
    publisher, listener = sockets.publisher(inbound), sockets.listener(outbound)
    join(publisher, listener)
    publisher.send_all(numbered(3))
    listener.expect(numbered(3))


LOOPBACK = "[::1]" if has_ipv6() else "127.0.0.1"


@pytest.mark.parametrize(
    ("bind", "connect"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("*", "127.0.0.1"),
        ("*", LOOPBACK),
        ("[::]", LOOPBACK),
    ],
)
def test_a_literal_is_bound_as_it_is(host: Host, relay: Relay, sockets: Sockets, bind: str, connect: str) -> None:
    inbound, outbound, submit = port(host.inbound), port(host.outbound), port(host.submit)
    host.configure(f"tcp://{bind}:{inbound}", f"tcp://{bind}:{outbound}", relay_submit=f"tcp://{bind}:{submit}")
    relay.start()
    assert relay.status()["endpoints"] == {
        "inbound": [f"tcp://{bind}:{inbound}"],
        "outbound": [f"tcp://{bind}:{outbound}"],
        "submit": [f"tcp://{bind}:{submit}"],
    }
    carries(sockets, f"tcp://{connect}:{inbound}", f"tcp://{connect}:{outbound}")
    assert sockets.submitter(f"tcp://{connect}:{submit}").ask(*numbered(1))["status"] == "accepted"


def test_an_ipv6_literal_is_bound_where_there_is_ipv6(host: Host, relay: Relay, sockets: Sockets) -> None:
    inbound, outbound = (f"tcp://[::1]:{port(address)}" for address in (host.inbound, host.outbound))
    host.configure(inbound, outbound)
    if has_ipv6():
        relay.start()
        carries(sockets, inbound, outbound)
        assert host.run("fedmsg-logger", "--message", "over IPv6").code == 0
        assert host.run("fedmsg-relay", "probe").code == 0
    else:
        ran = host.run("fedmsg-relay")
        assert ran.code == 69
        assert inbound in ran.one_error_line()


@pytest.mark.parametrize("name", ["localhost", socket.gethostname()])
def test_a_name_of_this_host_is_bound_on_every_address(host: Host, relay: Relay, sockets: Sockets, name: str) -> None:
    inbound, outbound, submit = port(host.inbound), port(host.outbound), port(host.submit)
    host.configure(f"tcp://{name}:{inbound}", f"tcp://{name}:{outbound}", relay_submit=f"tcp://{name}:{submit}")
    relay.start()
    assert relay.status()["endpoints"] == {
        "inbound": [f"tcp://*:{inbound}"],
        "outbound": [f"tcp://*:{outbound}"],
        "submit": [f"tcp://*:{submit}"],
    }
    carries(sockets, f"tcp://127.0.0.1:{inbound}", f"tcp://127.0.0.1:{outbound}")
    assert sockets.submitter(f"tcp://127.0.0.1:{submit}").ask(*numbered(1))["status"] == "accepted"
    assert relay.log_lines("bound inbound", f"tcp://*:{inbound}")
    assert relay.log_lines("bound outbound", f"tcp://*:{outbound}")


def test_of_several_relays_only_our_own_addresses_are_bound(host: Host, relay: Relay) -> None:
    inbound, outbound, submit = port(host.inbound), port(host.outbound), port(host.submit)
    host.configure(
        [f"tcp://relay.invalid:{inbound}", f"tcp://localhost:{inbound}"],
        [f"tcp://relay.invalid:{outbound}", f"tcp://localhost:{outbound}"],
        relay_submit=[f"tcp://relay.invalid:{submit}", f"tcp://localhost:{submit}"],
    )
    relay.start()
    assert relay.status()["endpoints"] == {
        "inbound": [f"tcp://*:{inbound}"],
        "outbound": [f"tcp://*:{outbound}"],
        "submit": [f"tcp://*:{submit}"],
    }


def test_every_one_of_our_own_addresses_is_bound(host: Host, start_bus: StartBus) -> None:
    second_in, second_out = (f"tcp://127.0.0.1:{host.port()}" for _ in range(2))
    host.configure([host.inbound, second_in], [host.outbound, second_out])
    bus: Bus = start_bus()
    carries(bus.sockets, second_in, second_out)
    carries(bus.sockets, host.inbound, second_out)
    bus.listener.wait_for(numbered(3)[2])


@pytest.mark.parametrize("foreign", ["relay.invalid", "192.0.2.7", "[2001:db8::7]"])
def test_addresses_of_other_hosts_are_a_fault_and_a_start_is_retried(host: Host, foreign: str) -> None:
    # At boot a name may not resolve yet, or an interface not be up: the unit starts again after 69, and not after 78.
    host.configure(f"tcp://{foreign}:9941", f"tcp://{foreign}:3999")
    for command, code in ((["fedmsg-relay", "check-config"], 78), (["fedmsg-relay"], 69)):
        ran = host.run(*command)
        assert ran.code == code
        assert foreign.strip("[]") in ran.one_error_line()


def test_the_config_can_be_named_on_the_command_line(host: Host, sockets: Sockets) -> None:
    only = host.configure().rename(host.directory / "elsewhere.cfg")
    with contextlib.closing(Relay(host, "--config-filename", only)) as relay:
        relay.start()
        carries(sockets, host.inbound, host.outbound)


@pytest.mark.parametrize("way", ["inbound", "outbound"])
def test_a_port_in_use_ends_the_relay_with_one_line_naming_it(host: Host, way: str) -> None:
    busy = host.inbound if way == "inbound" else host.outbound
    with occupied(int(port(busy))):
        ran = host.run("fedmsg-relay")
    assert ran.code == 69
    said = ran.one_error_line()
    assert port(busy) in said
    assert way in said


def test_a_second_relay_on_the_same_ports_leaves_the_first_alone(bus: Bus) -> None:
    second = bus.host.run("fedmsg-relay", env={"RUNTIME_DIRECTORY": str(bus.host.directory / "home")})
    assert second.code == 69
    bus.publisher.send_all(numbered(3))
    bus.listener.expect(numbered(3))


def test_a_second_relay_does_not_take_over_the_status_of_the_first(bus: Bus) -> None:
    assert bus.host.run("fedmsg-relay").code == 69
    assert bus.relay.status()["relay"]["pid"] == bus.relay.pid


def test_check_config_for_scripts_does_not_look_whether_this_host_can_bind(host: Host) -> None:
    host.configure("tcp://relay.invalid:9941", "tcp://relay.invalid:3999")
    ran = host.run("fedmsg-relay", "check-config", "--scripts", "--json")
    assert ran.code == 0, ran.stderr
    json.loads(ran.stdout)


def test_a_new_file_is_checked_where_it_would_be_installed(host: Host) -> None:
    installed = host.directory / "fedmsg.d" / "relay.py"
    good = installed.read_text()
    new = host.write("staged.tmp", good.replace(host.inbound, "tcp://relay.invalid:9941"))
    stand_in = f"{new}={installed}"
    ran = host.run("fedmsg-relay", "check-config", "--stand-in", stand_in)
    assert ran.code == 78
    assert "relay.invalid" in ran.one_error_line()
    assert host.run("fedmsg-relay", "check-config").code == 0
    # Nothing is installed yet: the new file alone is what would be read.
    installed.unlink()
    new.write_text(good)
    assert host.run("fedmsg-relay", "check-config", "--stand-in", stand_in).code == 0


def test_a_new_file_is_checked_as_merged_with_those_that_stay(host: Host) -> None:
    host.write("fedmsg.d/zz-site.py", "config = {'relay_inbound': ['tcp://relay.invalid:9941']}\n")
    new = host.write("staged.tmp", (host.directory / "fedmsg.d" / "relay.py").read_text())
    installed = host.directory / "fedmsg.d" / "relay.py"
    ran = host.run("fedmsg-relay", "check-config", "--stand-in", f"{new}={installed}")
    assert ran.code == 78
    assert "relay.invalid" in ran.one_error_line()
