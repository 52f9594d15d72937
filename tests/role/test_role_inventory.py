"""What the role makes of the inventory: names and endpoints of relays, the global config, the tables of relay.toml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fedmsg_relay_plan import endpoints, settings
from fedmsg_relay_plan.global_config import global_config, monitored
from fedmsg_relay_plan.inventory import bus, is_true, merged, relays

PORTS = {"inbound": 9941, "submit": "9942", "outbound": 3999}
RELAYS: dict[str, dict[str, Any]] = {
    "app01": {"fedmsg_relay_addresses": {"vpn": "bus.vpn.example.org"}},
    "app02": {"fedmsg_relay_addresses": {"default": "fd00::17", "vpn": ""}},
    "app03": {"fedmsg_relay_addresses": "text"},
    "app04": {},
}


class Lazy(Mapping[str, Any]):
    """A host's variables, of which some cannot be resolved."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def __getitem__(self, name: str) -> Any:
        if self.known[name] is None:
            raise AssertionError(f"{name} was resolved")
        return self.known[name]

    def __contains__(self, name: object) -> bool:
        return name in self.known

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all variables were asked for")

    def __len__(self) -> int:
        return len(self.known)


def test_of_other_hosts_only_what_concerns_all_is_read() -> None:
    own = Lazy(fedmsg_relay_web=True, fedmsg_relay_sign=None, site_secret=None)
    assert relays(["pkgs01", "app01"], {"app01": own, "pkgs01": Lazy(), "other": Lazy(fedmsg_relay_web=None)}) == {
        "pkgs01": {},
        "app01": {"fedmsg_relay_web": True},
    }
    of_scripts = Lazy(fedmsg_relay_needs=["submit"], fedmsg_relay_settings=None, fedmsg_relay_bridge=None)
    assert bus(["pkgs01"], {"pkgs01": of_scripts}) == {"pkgs01": {"fedmsg_relay_needs": ["submit"]}}


@pytest.mark.parametrize(
    ("value", "truth"),
    [(True, True), (1, True), ("Yes", True), ("on", True), (False, False), (None, False), ("no", False), ("", False)],
)
def test_a_variable_is_true_as_ansible_says(value: Any, truth: bool) -> None:
    assert is_true(value) is truth


@pytest.mark.parametrize(
    ("many", "wanted"),
    [
        ([], {}),
        (
            [{"b": 1, "a": {"x": 1, "y": 2}}, {"a": {"y": 3, "z": 4}, "c": 5}],
            {"b": 1, "a": {"x": 1, "y": 3, "z": 4}, "c": 5},
        ),
        ([{"a": [1]}, {"a": [2]}], {"a": [2]}),
        ([{"a": {"x": 1}}, {"a": "text"}], {"a": "text"}),
        ([{"a": None}, {"a": {"x": 1}}, {}], {"a": {"x": 1}}),
    ],
)
def test_dicts_are_merged_in_the_order_of_their_first_keys(many: list[dict[str, Any]], wanted: dict[str, Any]) -> None:
    found = merged(*many)
    assert (found, list(found)) == (wanted, list(wanted))


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        ("default", ["app01", "[fd00::17]", "app03", "app04"]),
        ("vpn", ["bus.vpn.example.org", "-", "-", "-"]),
    ],
)
def test_relays_have_a_name_on_each_network(network: str, wanted: list[str]) -> None:
    assert endpoints.of_relays(RELAYS, network, PORTS) == {
        "relay_inbound": [f"tcp://{name}:9941" for name in wanted],
        "relay_submit": [f"tcp://{name}:9942" for name in wanted],
        "relay_outbound": [f"tcp://{name}:3999" for name in wanted],
    }


def test_faulty_addresses_are_none() -> None:
    assert endpoints.names(RELAYS) == {
        "app01": {"vpn": "bus.vpn.example.org"},
        "app02": {"default": "fd00::17", "vpn": ""},
        "app03": {},
        "app04": {},
    }


@pytest.mark.parametrize(
    ("addresses", "network", "own"),
    [
        ({}, "default", "tcp://app01"),
        ({"default": "10.0.0.1", "vpn": "fd00::17"}, "vpn", "tcp://[fd00::17]"),
        ({"vpn": "x"}, "lan", "tcp://app01"),
    ],
)
def test_a_relay_binds_its_name_on_its_own_network(addresses: dict[str, str], network: str, own: str) -> None:
    assert endpoints.own(addresses, "app01", network) == own


@pytest.mark.parametrize(
    ("needs", "keys"),
    [
        (["outbound", "inbound", "submit"], ["relay_inbound", "relay_submit", "relay_outbound"]),
        (["submit"], ["relay_submit"]),
        ([], []),
    ],
)
def test_a_host_needs_endpoints_of_all_relays(needs: list[str], keys: list[str]) -> None:
    known = endpoints.of_relays({"a": {}, "b": {}}, "default", PORTS)
    found = endpoints.needed(known, needs)
    assert [key for key, _ in found] == [key for key in keys for _ in ("a", "b")]
    assert all(address in known[key] for key, address in found)


def test_a_message_goes_into_a_relay_and_comes_out_of_the_same() -> None:
    known = endpoints.of_relays({"a": {}, "b": {}}, "default", PORTS)
    assert endpoints.ways(known, ["a", "b"]) == {
        "a": ["tcp://a:9941", "tcp://a:3999"],
        "b": ["tcp://b:9941", "tcp://b:3999"],
    }


@pytest.mark.parametrize(
    ("reached", "told"),
    [
        ([{}, {"__fedmsg_relay_reached": {"skipped": True}}, {"__fedmsg_relay_reached": {"not_reached": ""}}], ""),
        ([{}, {"__fedmsg_relay_reached": {"not_reached": "relay_submit x"}}], "h1 does not reach relay_submit x. Open"),
        (
            [{"__fedmsg_relay_reached": {"not_reached": "a"}}, {"__fedmsg_relay_reached": {"not_reached": "b"}}],
            "h0 does not reach a; h1 does not reach b. Open these ports, or remove an endpoint",
        ),
    ],
)
def test_hosts_that_do_not_reach_a_relay_are_named_together(reached: list[dict[str, Any]], told: str) -> None:
    hostvars = {f"h{number}": known for number, known in enumerate(reached)}
    found = endpoints.cut_off(list(hostvars), hostvars)
    assert found.startswith(told)
    assert bool(found) is bool(told)


BINDS = {"inbound": ["tcp://app01:9941"], "submit": ["tcp://app01:9942"], "outbound": ["tcp://app01:3999"]}


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        ({}, BINDS),
        ({"limits": {"x": 1}}, BINDS),
        ({"bind": {"inbound": ["tcp://*:1"]}}, {**BINDS, "inbound": ["tcp://*:1"]}),
        ({"bind": 5}, 5),  # the program refuses it
    ],
)
def test_settings_overrule_what_a_relay_binds(extra: dict[str, Any], wanted: Any) -> None:
    assert settings.wanted_binds(extra, "tcp://app01", PORTS) == wanted


@pytest.mark.parametrize(
    ("extra", "signatures", "wanted"),
    [
        ({"limits": {"x": 1}}, "off", {"limits": {"x": 1}}),
        ({}, "warn", {"trust": {"signatures": "warn", "ca": "/pki/ca.crt", "crl": "/pki/crl.pem"}}),
        (
            {"limits": {}, "trust": {"crl": ""}},
            "enforce",
            {"trust": {"signatures": "enforce", "ca": "/pki/ca.crt", "crl": ""}, "limits": {}},
        ),
    ],
)
def test_a_relay_is_told_what_it_does_about_signatures(
    extra: dict[str, Any], signatures: str, wanted: dict[str, Any]
) -> None:
    found = settings.with_trust(extra, signatures, "/pki")
    assert (found, list(found)) == (wanted, list(wanted))


UPSTREAM = {"relay_inbound": ["i"], "relay_submit": ["s"], "relay_outbound": ["o"]}


@pytest.mark.parametrize(
    ("known", "upstream", "wanted"),
    [
        ({}, {}, {"bind": BINDS}),
        ({"limits": {"x": 1}, "bind": {"inbound": []}}, {}, {"bind": BINDS, "limits": {"x": 1}}),
        ({"limits": {}}, UPSTREAM, {"bind": BINDS, "limits": {}, "upstream": {"submit": ["s"], "outbound": ["o"]}}),
        (
            {"upstream": {"submit": ["x"], "quiet": 5}, "limits": {}},
            UPSTREAM,
            {"bind": BINDS, "upstream": {"submit": ["s"], "quiet": 5, "outbound": ["o"]}, "limits": {}},
        ),
    ],
)
def test_what_a_relay_binds_comes_first_in_its_settings(
    known: dict[str, Any], upstream: dict[str, list[str]], wanted: dict[str, Any]
) -> None:
    found = settings.tables(known, BINDS, upstream)
    assert (found, list(found)) == (wanted, list(wanted))


NAMED = {"endpoints": {"relay_outbound": ["o"]}, "relay_inbound": ["i"], "relay_submit": ["s"]}
NOTHING: dict[str, Any] = {
    "endpoints": UPSTREAM,
    "environment": "",
    "topic_prefix": "",
    "webs": [],
    "datagrepper": True,
    "keys": {},
    "policy": {},
    "nitpicky": True,
}
WEBS = ["http://a:9943", "http://b:80"]


@pytest.mark.parametrize(
    ("more", "extra", "wanted"),
    [
        ({}, {}, NAMED),
        (
            {"environment": "stg", "topic_prefix": "org.example", "webs": WEBS},
            {},
            {
                **NAMED,
                "environment": "stg",
                "topic_prefix": "org.example",
                "relay_web": WEBS,
                "datagrepper_url": "http://a:9943/raw",
            },
        ),
        ({"webs": WEBS, "datagrepper": False}, {}, {**NAMED, "relay_web": WEBS}),
        (
            {"keys": {"ssldir": "/pki", "certnames": {"shell.app01": "shell-app01"}}, "policy": {"x.a": ["scm-app01"]}},
            {"certnames": {"git.app01": "scm-app01"}, "ssldir": "/other"},
            {
                **NAMED,
                "ssldir": "/other",
                "certnames": {"shell.app01": "shell-app01", "git.app01": "scm-app01"},
                "routing_policy": {"x.a": ["scm-app01"]},
                "routing_nitpicky": True,
            },
        ),
        (
            {},
            {"endpoints": {"shell.app01": ["tcp://app01:3000"]}},
            {**NAMED, "endpoints": {"relay_outbound": ["o"], "shell.app01": ["tcp://app01:3000"]}},
        ),
    ],
)
def test_the_global_config_has_what_the_inventory_says(
    more: dict[str, Any], extra: dict[str, Any], wanted: dict[str, Any]
) -> None:
    found = global_config(extra, {**NOTHING, **more})
    assert (found, list(found)) == (wanted, list(wanted))


@pytest.mark.parametrize(
    ("socket", "more"),
    [
        (None, []),
        ("ipc:///run/monitors/relay.socket", ["/run/monitors"]),
        ("ipc:///run/fedmsg/x", []),
        ("ipc:///run/fedmsg-relay/x", []),
        ("ipc:///run/a b/x", []),
        ("ipc:///x", []),
        ("tcp://127.0.0.1:1", []),
        (5, []),
    ],
)
def test_a_relay_may_write_where_monitoring_looks(socket: Any, more: list[str]) -> None:
    assert monitored({"moksha.monitoring.socket": socket}) == ["/run/fedmsg", *more]
    assert monitored({}) == ["/run/fedmsg"]
