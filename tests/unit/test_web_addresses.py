"""The web process listens where the relay does, with a port of its own."""

from __future__ import annotations

import pytest

from fedmsg_relay.commands.web import beside
from fedmsg_relay.daemon.addresses import Plan
from fedmsg_relay.errors import ConfigError


@pytest.mark.parametrize(
    ("inbound", "web"),
    [
        (["tcp://*:9941"], ["tcp://*:9943"]),
        (["tcp://10.0.0.1:9941", "tcp://[fd00::1]:3998"], ["tcp://10.0.0.1:9943", "tcp://[fd00::1]:9943"]),
        (["tcp://10.0.0.1:9941", "tcp://10.0.0.1:9931"], ["tcp://10.0.0.1:9943"]),
        (["tcp://10.0.0.1:9951", "tcp://*:9941"], ["tcp://*:9943"]),  # while an address is changed
        (["ipc:///run/x", "tcp://127.0.0.1:9941"], ["tcp://127.0.0.1:9943"]),
    ],
)
def test_it_listens_at_the_addresses_of_inbound(inbound: list[str], web: list[str]) -> None:
    assert beside(Plan(tuple(inbound), ())) == web


def test_it_has_to_be_told_where_to_listen_if_inbound_has_no_tcp() -> None:
    with pytest.raises(ConfigError, match=r"http\.listen"):
        beside(Plan(("ipc:///run/x",), ()))
