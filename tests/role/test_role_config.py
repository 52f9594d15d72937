"""The global config that the role renders for every operating system, read by fedmsg-relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmsg_relay import config
from fedmsg_relay.network.address import split
from rendered import ODD, SYSTEMS


@pytest.mark.parametrize("host", SYSTEMS)
def test_the_global_config_names_every_relay_as_the_groups_order_has_them(rendered: Path, host: str) -> None:
    read = config.read([str(rendered / f"{host}-relay.py")])
    assert config.addresses(read, "relay_inbound") == ["tcp://debian12:9941", "tcp://[fd00::17]:9941"]
    assert config.addresses(read, "relay_outbound") == ["tcp://debian12:3999", "tcp://[fd00::17]:3999"]
    assert (read["environment"], read["topic_prefix"]) == ("stg", "org.example")
    assert all(split(address, "") for address in read["relay_inbound"])


def test_a_host_on_another_network_gets_the_relays_names_there(rendered: Path) -> None:
    read = config.read([str(rendered / "proxy01-relay.py")])
    assert config.addresses(read, "relay_inbound") == ["tcp://bus.vpn.example.org:9941", "tcp://10.8.0.17:9941"]


def test_more_config_is_merged_and_any_text_survives_as_python(rendered: Path) -> None:
    read = config.read([str(rendered / "debian13-relay.py")])
    assert read["endpoints"]["shell.app01"] == ["tcp://app01:3000"]
    assert read["odd"] == {**ODD, "quotes": 'it\'s "quoted" \\ and {{ more'}


def test_a_host_that_signs_has_its_own_certificates_in_its_config(rendered: Path) -> None:
    read = config.read([str(rendered / "signer01.example.org-relay.py")])
    assert read["certnames"] == {"shell.signer01": "shell-signer01.internal", "git.signer01": "scm-signer01.internal"}
    assert (read["sign_messages"], read["validate_signatures"]) == (True, False)
    assert (read["ssldir"], read["ca_cert_location"]) == ("/etc/pki/fedmsg", "/etc/pki/fedmsg/ca.crt")
    assert read["crl_location"] == "/etc/pki/fedmsg/crl.pem"


@pytest.mark.parametrize("host", [*SYSTEMS, "signer01.example.org"])
def test_every_host_has_the_policy_of_all_hosts(rendered: Path, host: str) -> None:
    read = config.read([str(rendered / f"{host}-relay.py")])
    assert read["routing_policy"] == {"org.example.stg.git.receive": ["scm-signer01.internal"]}
    assert read["routing_nitpicky"] is False
    if host in SYSTEMS:
        assert not {"certnames", "sign_messages", "ssldir"} & set(read)


def test_a_config_names_the_web_processes_that_are_there(rendered: Path) -> None:
    read = config.read([str(rendered / "debian13-relay.py")])
    assert read["relay_web"] == ["http://[fd00::17]:9943"]
    assert "datagrepper_url" not in read
    consumer = config.read([str(rendered / "proxy01-relay.py")])
    assert consumer["relay_web"] == ["http://10.8.0.17:9943"]
    assert consumer["datagrepper_url"] == "http://10.8.0.17:9943/raw"
