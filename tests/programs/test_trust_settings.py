"""Settings of signatures: what a relay starts with, takes at a reload, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus import StartBus
from certificates import DAY, NOW
from harness import Host, Ran
from messages import Message
from pki import SCM, SHELL, TOPIC, Pki, settings, start, unsigned
from relays import Relay


def check(host: Host, *options: str) -> Ran:
    return host.run("fedmsg-relay", "check-config", "--settings", host.settings_file, *options)


def test_check_config_tells_how_signatures_would_be_checked(host: Host, pki: Pki) -> None:
    host.configure_submit()
    pki.configure(host)
    assert "signatures off\n" in host.run("fedmsg-relay", "check-config").stdout
    settings(host, "warn")
    end = f"{NOW + 1000 * DAY:%Y-%m-%dT%H:%M:%SZ}"
    ran = check(host)
    assert f"signatures warn\nca        {pki.ca} until {end}\ncrl       {pki.crl} until {end}\n" in ran.stdout
    seconds = (NOW + 1000 * DAY).timestamp()
    assert json.loads(check(host, "--json").stdout)["trust"] == {
        "signatures": "warn",
        "fault": "",
        "ca": {"file": str(pki.ca), "ends": seconds, "ends_soon": False},
        "crl": {"file": str(pki.crl), "ends": seconds, "ends_soon": False},
    }
    settings(host, "warn", 'crl = ""')
    assert "crl       none, revoked certificates are accepted\n" in check(host).stdout


REFUSED: dict[str, tuple[dict[str, object], str, str]] = {
    "a URL of the CA": ({"ca_cert_location": "https://example.org/ca.crt"}, "", "name a file"),
    "a URL of the CRL": ({"crl_location": "http://example.org/crl.pem"}, "", "name a file"),
    "a URL in relay.toml": ({}, 'ca = "https://example.org/ca.crt"', "name a file"),
    "no CA": ({"ca_cert_location": None}, "", "name a file"),
    "an empty CA": ({}, 'ca = ""', "name a file"),
    "a list for the CA": ({"ca_cert_location": ["/ca.crt"]}, "", "ca_cert_location must be text"),
    "a NUL in the name of the CA": ({"ca_cert_location": "/ca\0.crt"}, "", "ca_cert_location: '/ca\\x00.crt' is not"),
    "a name of the CRL that cannot be": ({"crl_location": "/\ud800"}, "", "is not the name of a file"),
    "a NUL in relay.toml": ({}, 'ca = "/ca\\u0000.crt"', "trust.ca: '/ca\\x00.crt' is not the name of a file"),
    "a policy that is text": ({"routing_policy": {TOPIC: SHELL}}, "", "routing_policy['org.example.test.signed']"),
    "gpg alone": ({"crypto_validate_backends": ["gpg"]}, "", "crypto_validate_backends"),
}


@pytest.mark.parametrize("signatures", ["warn", "enforce"])
@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_checked_against_is_refused_at_the_start(
    fault: str, signatures: str, host: Host, relay: Relay, pki: Pki
) -> None:
    config, more, words = REFUSED[fault]
    host.configure_submit()
    pki.configure(host, **config)
    settings(host, signatures, more)
    for ran in (check(host), host.run("fedmsg-relay", "--settings", host.settings_file)):
        assert ran.code == 78
        assert words in ran.one_error_line()
    settings(host, "off", more)
    assert check(host).code == 0
    relay.start()


def test_a_reload_switches_from_off_to_warn_to_enforce_and_back(host: Host, pki: Pki, start_bus: StartBus) -> None:
    bus = start(host, pki, start_bus, "off")
    plain = [unsigned(pki.sign(number)) for number in range(4)]
    pid = bus.relay.pid
    for number, (signatures, comes_out) in enumerate([("warn", True), ("enforce", False), ("off", True)]):
        settings(host, signatures)
        bus.relay.reload()
        assert bus.relay.status()["trust"]["signatures"] == signatures
        bus.relay.wait_for_log("reloaded", f"signatures={signatures}")
        bus.publisher.send(*plain[number])
        bus.publisher.send(*pki.sign(number))
        bus.listener.expect([plain[number], pki.sign(number)] if comes_out else [pki.sign(number)])
    assert bus.relay.pid == pid
    assert bus.relay.status()["trust"]["distrusted"]["unsigned"]["messages"] == 2


def test_a_reload_takes_a_new_policy_and_a_bad_one_changes_nothing(host: Host, pki: Pki, start_bus: StartBus) -> None:
    bus = start(host, pki, start_bus, "enforce", routing_policy={TOPIC: [SCM]})
    client = bus.sockets.submitter(host.submit)

    def answer(message: Message) -> str:
        found = client.ask(message)
        return str(found.get("reason") or found["status"])

    assert answer(pki.sign(0)) == "not-permitted"
    pki.configure(host, routing_policy={TOPIC: [SCM, SHELL]})
    bus.relay.reload()
    assert answer(pki.sign(0)) == "accepted"
    pki.configure(host, routing_policy={TOPIC: "text"})
    bus.relay.reload()
    bus.relay.wait_for_log("ERROR", "not reloaded, the settings stay as they were: global config: routing_policy")
    assert answer(pki.sign(1)) == "accepted"
    host.write("fedmsg.d/sign.py", "config = 1 / 0\n")
    bus.relay.reload()
    bus.relay.wait_for_log("ERROR", "not reloaded", "ZeroDivisionError")
    assert answer(pki.sign(2)) == "accepted"
    pki.configure(host, routing_policy={"org.example.other": [SHELL]}, routing_nitpicky=True)
    bus.relay.reload()
    assert answer(pki.sign(3)) == "no-policy"


def libraries(relay: Relay) -> set[str]:
    """Files of the library for signatures that the process has mapped."""
    lines = Path(f"/proc/{relay.pid}/maps").read_text(encoding="utf-8").splitlines()
    return {line.split()[-1] for line in lines if "cryptography" in line}


def test_off_loads_nothing_for_signatures(host: Host, pki: Pki, start_bus: StartBus) -> None:
    bus = start(host, pki, start_bus, "off")
    bus.publisher.send(*pki.sign(0))
    bus.listener.expect([pki.sign(0)])
    bus.relay.status()
    assert libraries(bus.relay) == set()
    settings(host, "enforce")
    bus.relay.reload()
    assert libraries(bus.relay) != set(), "so the test would see it"
