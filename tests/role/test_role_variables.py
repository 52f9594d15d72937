"""Variables of the role that cannot work: ansible-playbook ends before it changes a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rendered import ROOT, play

SITE = {
    "fedmsg_relay_certs": [{"service": "scm", "can_send": ["git.receive"]}],
    "fedmsg_relay_environment": "stg",
    "fedmsg_relay_topic_prefix": "org.example",
}
"""A site whose own tools bring the keys, and whose scripts do not sign yet."""


@pytest.mark.parametrize(
    ("variables", "relays", "message"),
    [
        ({}, {}, "no relay would remain"),
        ({"fedmsg_relay_network": "lan"}, {"app01": None}, "set fedmsg_relay_addresses.lan on app01"),
        ({}, {"app01": {"fedmsg_relay_addresses": {"default": "a'+b"}}}, "neither a host name nor an IP address: a'+b"),
        ({}, {"app01": {"fedmsg_relay_addresses": {"default": "a b"}}}, "neither a host name nor an IP address: a b"),
        ({}, {"app01": {"fedmsg_relay_addresses": {"default": "pkgs01"}}, "pkgs01": None}, "an address of its own"),
        ({"fedmsg_relay_config_extra": {"relay_inbound": ["tcp://x:1"]}}, {"app01": None}, "names the relay"),
        ({"fedmsg_relay_config_extra": {"endpoints": {"relay_outbound": "x"}}}, {"app01": None}, "names the relay"),
        ({"fedmsg_relay_settings": '{"limits": {"x": true}}'}, {"app01": None}, "Write it as YAML"),
        (
            {"fedmsg_relay_sign": True},
            {"app01": None},
            "app01: fedmsg_relay_sign is set, but fedmsg_relay_certs has no",
        ),
        ({"fedmsg_relay_certs_from": "/nowhere"}, {"app01": None}, "pkgs01: /nowhere/ca.crt is missing: put the CA's"),
        ({"fedmsg_relay_certs": [{"can_send": []}]}, {"app01": None}, "missing required arguments: service"),
        ({"fedmsg_relay_policy_extra": {"a.b": ["x"]}}, {"app01": None}, "set fedmsg_relay_environment and"),
        ({"fedmsg_relay_policy_extra": "a=b"}, {"app01": None}, "fedmsg_relay_policy_extra has to be a dict"),
        ({"fedmsg_relay_needs": "outbound"}, {"app01": None}, "fedmsg_relay_needs has to be a list and is not on"),
        ({"fedmsg_relay_settings": {"http": "x"}}, {"app01": None}, "has to have a dict for http and has not on"),
        ({"fedmsg_relay_trust": "warn"}, {"app01": None}, "fedmsg_relay_trust is warn on app01, which gets neither"),
        ({"fedmsg_relay_trust": True}, {"app01": None}, "value of fedmsg_relay_trust must be one of"),
        (
            {"fedmsg_relay_settings": {"trust": {"signatures": "warn"}}},
            {"app01": None},
            "comes from fedmsg_relay_trust",
        ),
        ({**SITE, "fedmsg_relay_trust": "enforce"}, {"app01": None}, "would refuse all messages of app01, pkgs01: set"),
        ({"fedmsg_relay_datagrepper": True}, {"app01": None}, "but no relay has a web process: set fedmsg_relay_web"),
        ({"fedmsg_relay_bridge": True}, {"app01": None}, "fedmsg_relay_bridge has to be a dict and is not"),
        ({"fedmsg_relay_settings": {"bridge": {}}}, {"app01": None}, "Its keys belong to fedmsg_relay_bridge."),
        ({"fedmsg_relay_inbound_port": "http"}, {"app01": None}, "unable to convert to int"),
    ],
)
def test_impossible_variables_are_refused_before_anything_is_changed(
    tmp_path: Path, variables: dict[str, Any], relays: dict[str, Any], message: str
) -> None:
    # A dry run: if it were not refused, the hosts of this test are the machine that runs it.
    hosts = {"app01": None, "pkgs01": None}
    done = play(tmp_path, ROOT / "playbooks/relay.yml", "--check", hosts=hosts, relays=relays, variables=variables)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split()), done.stdout
    assert "changed=0" in done.stdout
    assert "changed: [" not in done.stdout
