"""relay.toml: a fault is refused at start and by check-config, with file, key and remedy."""

from __future__ import annotations

import json

import pytest

from bus import Bus, StartBus
from harness import Host
from relays import Relay

REFUSED = {
    "an unknown table": ("[limit]\n", ["limit", "limits"]),
    "an unknown key": ("[limits]\nmax_size = 5\n", ["limits", "max_size", "max_message_size"]),
    "an unknown key of bind": ("[bind]\nin = ['tcp://*:1']\n", ["bind", "`in`", "inbound"]),
    "a key outside a table": ("max_message_size = 5\n", ["max_message_size"]),
    "a string for a number": ("[limits]\nmax_message_size = '5'\n", ["max_message_size"]),
    "a bool for a number": ("[limits]\nmax_message_size = true\n", ["max_message_size"]),
    "a float for a number": ("[limits]\nmax_message_size = 1.5\n", ["max_message_size"]),
    "zero": ("[limits]\nmax_message_size = 0\n", ["max_message_size"]),
    "a negative number": ("[limits]\nmax_message_size = -1\n", ["max_message_size"]),
    "a number where a table is meant": ("limits = 5\n", ["limits"]),
    "a number for addresses": ("[bind]\ninbound = 9941\n", ["bind.inbound"]),
    "a number among addresses": ("[bind]\ninbound = [9941]\n", ["bind.inbound"]),
    "an address without a port": ("[bind]\noutbound = ['tcp://*']\n", ["bind.outbound", "tcp://*"]),
    "an address that is not TCP": ("[bind]\noutbound = ['http://x:1']\n", ["bind.outbound", "tcp://*"]),
    "one port for both ways": (
        "[bind]\ninbound = ['tcp://*:7001']\noutbound = ['tcp://*:7001']\n",
        ["inbound", "outbound", "7001"],
    ),
    "a network with host bits set": (
        "[trust]\ninbound_from = ['127.0.0.0/8', '192.0.2.7/24']\n",
        ["trust.inbound_from: '192.0.2.7/24' has host bits set: write '192.0.2.0/24' for the network"],
    ),
    "a name for a network": (
        "[trust]\nsubmit_from = ['app01.example.org']\n",
        ["trust.submit_from: 'app01.example.org' is not a network (accepted: '192.0.2.0/24', "],
    ),
    "a negative rate": ("[limits]\nsubmit_rate = -1\n", ["limits.submit_rate"]),
    "a port that the web process cannot have": (
        "[http]\nlisten = ['tcp://127.0.0.1:99999']\n",
        ["http.listen: 'tcp://127.0.0.1:99999' is not an address", "port 1 to 65535"],
    ),
    "a host of the web process with a space": ("[http]\nlisten = ['tcp://a b:9943']\n", ["http.listen", "is not an"]),
    "an address of the web process without tcp": ("[http]\nlisten = ['*:9943']\n", ["http.listen", "tcp://*"]),
    "not TOML": ("[limits]\nmax_message_size = \n", ["line 2"]),
}


@pytest.mark.parametrize("command", [["fedmsg-relay"], ["fedmsg-relay", "check-config"]], ids=" ".join)
@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_settings_are_refused(host: Host, text: str, words: list[str], command: list[str]) -> None:
    settings = host.write("relay.toml", text)
    ran = host.run(*command, "--settings", settings)
    assert ran.code == 78
    said = ran.one_error_line()
    for word in [str(settings), *words]:
        assert word in said


@pytest.mark.parametrize("command", [["fedmsg-relay"], ["fedmsg-relay", "check-config"]], ids=" ".join)
def test_settings_that_are_not_there_are_refused(host: Host, command: list[str]) -> None:
    ran = host.run(*command, "--settings", host.directory / "missing.toml")
    assert ran.code == 78
    assert str(host.directory / "missing.toml") in ran.one_error_line()


def test_a_port_of_the_settings_that_clashes_with_the_config_is_refused(host: Host) -> None:
    host.write("relay.toml", f"[bind]\ninbound = ['{host.outbound}']\n")
    ran = host.run("fedmsg-relay", "check-config", "--settings", host.settings_file)
    assert ran.code == 78
    assert host.outbound.rpartition(":")[2] in ran.one_error_line()


def test_addresses_of_the_settings_are_bound_instead_of_the_configs(host: Host, relay: Relay) -> None:
    inbound, outbound, submit = host.port(), host.port(), host.port()
    host.write(
        "relay.toml",
        f"[bind]\ninbound = ['tcp://127.0.0.1:{inbound}']\noutbound = ['tcp://*:{outbound}']\n"
        f"submit = ['tcp://127.0.0.1:{submit}']\n",
    )
    relay.start()
    endpoints = relay.status()["endpoints"]
    assert endpoints == {
        "inbound": [f"tcp://127.0.0.1:{inbound}"],
        "outbound": [f"tcp://*:{outbound}"],
        "submit": [f"tcp://127.0.0.1:{submit}"],
    }


def test_an_address_that_another_one_covers_is_bound_once(host: Host, relay: Relay) -> None:
    port = host.port()
    host.write("relay.toml", f"[bind]\ninbound = ['tcp://127.0.0.1:{port}', 'tcp://*:{port}']\n")
    relay.start()
    assert relay.status()["endpoints"]["inbound"] == [f"tcp://*:{port}"]


def test_an_empty_settings_file_counts_as_missing(host: Host, relay: Relay) -> None:
    host.write("relay.toml", "# nothing yet\n")
    relay.start()
    assert relay.status()["endpoints"]["inbound"] == [host.inbound]


def test_the_size_limit_counts_topic_and_body(host: Host, start_bus: StartBus) -> None:
    bus = start_limited(host, start_bus, 1024)
    fits = (b"t" * 24, b'"' + b"b" * 998 + b'"')
    over = (b"t" * 25, fits[1])
    for message in (over, fits):
        bus.publisher.send(*message)
    bus.listener.expect([fits])
    assert bus.relay.status()["dropped"]["too-large"] == 1


def start_limited(host: Host, start_bus: StartBus, limit: int) -> Bus:
    """A bus with a limit below the size of the messages by which it finds itself connected."""
    host.write("relay.toml", "")
    bus = start_bus()
    host.write("relay.toml", f"[limits]\nmax_message_size = {limit}\n")
    bus.relay.reload()
    return bus


def test_check_config_says_what_would_be_bound_and_binds_nothing(host: Host) -> None:
    ran = host.run("fedmsg-relay", "check-config")
    assert ran.code == 0, ran.stderr
    assert host.inbound in ran.stdout
    assert host.outbound in ran.stdout


def test_check_config_can_be_read_by_a_program(host: Host) -> None:
    ran = host.run("fedmsg-relay", "check-config", "--json")
    assert ran.code == 0, ran.stderr
    assert host.inbound in json.dumps(json.loads(ran.stdout))
