"""The settings that the role renders for a relay and for a bridge, read by fedmsg-relay."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fedmsg_relay.daemon import settings
from rendered import SYSTEMS, URL


@pytest.mark.parametrize("host", SYSTEMS)
def test_the_settings_are_the_relays(rendered: Path, host: str) -> None:
    read = settings.load(rendered / f"{host}-relay.toml")
    assert read.bind.inbound == ["tcp://*:9941", "tcp://[::1]:3998"]
    assert read.limits.max_message_size == 4096


def test_a_relay_binds_its_name_in_its_own_network_not_that_in_the_config(rendered: Path) -> None:
    relay = tomllib.loads((rendered / "rhel9-relay.toml").read_text())
    assert relay["bind"] == {
        "inbound": ["tcp://*:9941", "tcp://[::1]:3998"],  # a site that says so overrules it
        "outbound": ["tcp://[fd00::17]:3999"],
        "submit": ["tcp://[fd00::17]:9942"],
    }
    assert "upstream" not in relay


def test_a_relay_that_hands_over_keeps_its_addresses_and_has_all_upstreams(rendered: Path) -> None:
    chained = tomllib.loads((rendered / "fedora43-chained.toml").read_text())
    assert chained["bind"] == tomllib.loads((rendered / "fedora43-relay.toml").read_text())["bind"]
    assert chained["bind"]["outbound"] == ["tcp://fedora43:3999"]
    assert chained["upstream"] == {
        "submit": ["tcp://debian12:9942", "tcp://[fd00::17]:9942"],
        "outbound": ["tcp://debian12:3999", "tcp://[fd00::17]:3999"],
    }


def test_a_relay_binds_its_old_addresses_behind_those_of_the_inventory(rendered: Path) -> None:
    text = (rendered / "fedora43-stays.toml").read_text()
    assert tomllib.loads(text)["bind"] == {
        "inbound": ["tcp://*:9941", "tcp://[::1]:3998", "tcp://*:9931"],
        "outbound": ["tcp://fedora43:3999", "tcp://10.0.0.1:3989"],
        "submit": ["tcp://fedora43:9942", "tcp://*:9932"],
    }
    assert "when they are unused: inbound tcp://*:9931, outbound tcp://10.0.0.1:3989, submit tcp://*:9932" in text


def test_a_leaving_relay_keeps_its_addresses_whatever_the_inventory_says(rendered: Path) -> None:
    leaves = tomllib.loads((rendered / "fedora43-leaves.toml").read_text())
    assert leaves["bind"] == {
        "inbound": ["tcp://*:9931"],
        "outbound": ["tcp://fedora43:3999", "tcp://10.0.0.1:3989"],
        "submit": ["tcp://*:9932"],
    }
    assert leaves["upstream"]["submit"] == ["tcp://debian12:9942", "tcp://[fd00::17]:9942"]


def test_a_bridge_has_settings_of_its_own_which_no_other_file_has(rendered: Path) -> None:
    read = settings.load(rendered / "rhel9-bridge.toml")
    assert read.bridge == settings.Bridge(amqp_url=[URL], back_queue="back")
    assert read.bind.submit == ["tcp://[fd00::17]:9942"]
    assert (rendered / "debian12-bridge.toml").read_text() == ""
    named = [path.name for path in rendered.glob("rhel9-*") if "s3cret" in path.read_text()]
    assert named == ["rhel9-bridge.toml"]


def test_a_relay_checks_as_the_inventory_says_and_by_default_not_at_all(rendered: Path) -> None:
    trust = settings.load(rendered / "signer01.example.org-relay.toml").trust
    assert (trust.signatures, trust.ca, trust.crl) == (
        settings.Signatures.WARN,
        "/etc/pki/fedmsg/ca.crt",
        "/etc/pki/fedmsg/crl.pem",
    )
    assert "trust" not in tomllib.loads((rendered / "debian12-relay.toml").read_text())
