"""CA and CRL while the relay runs: they change, are gone, expire and come back, and no message is lost by that."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bus import Bus, StartBus
from certificates import DAY, NOW
from clock import HOUR, Clock
from harness import BUSY, Host, wait_until
from pki import MARKS, SCM, SHELL, Pki, counted, start, unsigned
from relays import Relay
from spooled import deliver, log, waiting
from wire import Submitter

REVOCATION_SECONDS = 2.0
"""What docs/protocol.md promises."""


@pytest.fixture
def enforcing(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    return start(host, pki, start_bus, "enforce")


@pytest.fixture
def submitter(enforcing: Bus) -> Submitter:
    return enforcing.sockets.submitter(enforcing.host.submit)


def nagios(bus: Bus) -> tuple[int, str]:
    ran = bus.host.run("fedmsg-relay", "status")
    return ran.code, ran.stdout.splitlines()[0]


def wait_for_fault(bus: Bus, why: str) -> None:
    wait_until(lambda: why in bus.relay.status()["trust"]["fault"], f"the status says {why}")
    code, line = nagios(bus)
    assert code == 2
    assert f"CRITICAL - signatures cannot be checked, messages wait: {bus.relay.status()['trust']['fault']}; " in line


def wait_until_well(bus: Bus) -> None:
    wait_until(lambda: bus.relay.status()["trust"]["fault"] == "", "CA and CRL can be used")
    bus.relay.wait_for_log("WARNING", "signatures are checked again, after:")


def release(bus: Bus) -> str:
    ran = bus.host.run("fedmsg-relay", "journal", "release")
    assert (ran.code, ran.stderr) == (0, "")
    return ran.stdout


def test_a_revoked_signer_is_refused_at_once_without_a_restart(
    enforcing: Bus, submitter: Submitter, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    number = 0
    assert submitter.ask(pki.sign(number))["status"] == "accepted"
    pki.revoke(SHELL)
    revoked = time.monotonic()

    def is_refused() -> bool:
        nonlocal number
        number += 1
        answer = submitter.ask(pki.sign(number))
        return answer.get("reason") == "certificate-revoked"

    wait_until(is_refused, "the signer is refused")
    taken = time.monotonic() - revoked
    with capsys.disabled():
        print(f"\nrevoked: refused after {taken:.2f} s, promised {REVOCATION_SECONDS:g} s")
    assert taken < REVOCATION_SECONDS + BUSY
    assert submitter.ask(pki.sign(1000, SCM))["status"] == "accepted"
    assert enforcing.relay.log().count("] start ") == 1
    enforcing.relay.wait_for_log("signatures enforce: read ca=")


def broken(pki: Pki, how: str) -> None:
    file = pki.ca if how.startswith("the CA") else pki.crl
    if "is gone" in how:
        file.unlink()
    elif "is empty" in how:
        file.write_bytes(b"")
    else:
        file.write_bytes(Pki(pki.directory / "other", key=9).crl.read_bytes())


FAULTS = {
    "the CRL is gone": "No such file or directory",
    "the CA is gone": "No such file or directory",
    "the CRL is empty": "it holds no PEM block X509 CRL",
    "the CRL is of another CA": "the CA has not signed it",
}


@pytest.mark.parametrize("how", FAULTS)
def test_without_ca_or_crl_nothing_is_lost_and_all_is_delivered_once_later(
    how: str, enforcing: Bus, submitter: Submitter, pki: Pki
) -> None:
    host = enforcing.host
    broken(pki, how)
    wait_for_fault(enforcing, FAULTS[how])
    enforcing.relay.wait_for_log("ERROR", "signatures cannot be checked, submit is busy and messages from inbound wait")
    assert submitter.ask(pki.sign(0))["status"] == "busy"
    assert log(host, "spooled").code == 0
    assert len(waiting(host)) == 1
    for message in pki.signed(3, start=1):
        enforcing.publisher.send(*message)
    enforcing.publisher.send(*unsigned(pki.sign(9)))
    counted(enforcing, quarantined=4)
    assert enforcing.relay.status()["dropped"]["trust-unusable"] == 3
    assert enforcing.relay.status()["trust"]["waiting"] == 3
    assert "3 messages could not be checked" in host.run("fedmsg-relay", "status").stdout
    pki.write_ca()
    pki.write_crl()
    wait_until_well(enforcing)
    assert deliver(host).code == 0
    assert waiting(host) == []
    assert release(enforcing) == "3 released, 1 stay: 1 unsigned\n"
    assert submitter.ask(pki.sign(0))["status"] == "accepted"
    wait_until(lambda: len(enforcing.listener.hear(0.1)) >= 5, "all of it")
    spooled, *rest = enforcing.listener.messages
    assert json.loads(spooled[1])["msg"] == {"log": "spooled"}
    assert rest == [*pki.signed(3, start=1), pki.sign(0)]
    counted(enforcing, refused=0)
    assert enforcing.relay.status()["trust"]["waiting"] == 0


def test_a_new_ca_is_taken_and_the_signers_of_the_previous_one_are_not(submitter: Submitter, pki: Pki) -> None:
    assert submitter.ask(pki.sign(0))["status"] == "accepted"
    new = Pki(pki.directory / "new", key=9)  # of the same name
    pki.ca.write_bytes(new.ca.read_bytes())
    pki.crl.write_bytes(new.crl.read_bytes())
    wait_until(lambda: submitter.ask(new.sign(1))["status"] == "accepted", "the new CA is in force")
    assert submitter.ask(pki.sign(2))["reason"] == "certificate-untrusted"


# The clock.


@pytest.fixture
def clock(host: Host) -> Iterator[Clock]:
    with contextlib.closing(Clock(host)) as clock:
        yield clock


@pytest.fixture
def timed(relay: Relay, clock: Clock) -> Relay:
    relay.env = clock.env
    return relay


def test_an_expiring_crl_is_told_weeks_before_and_then_holds_messages_back(
    timed: Relay, clock: Clock, host: Host, pki: Pki, start_bus: StartBus
) -> None:
    pki.write_crl(end=NOW + 20 * DAY)
    bus = start(host, pki, start_bus, "enforce")
    client = bus.sockets.submitter(host.submit)
    assert bus.relay is timed
    assert nagios(bus)[0] == 0
    clock.step(10 * 24 * HOUR)
    wait_until(lambda: nagios(bus)[0] == 1, "WARNING, ten days before the end")
    assert f"{pki.crl} is valid until {(NOW + 20 * DAY):%Y-%m-%d}" in nagios(bus)[1]
    bus.publisher.send(*pki.sign(0))
    bus.listener.expect([pki.sign(0)])
    clock.step(11 * 24 * HOUR)
    wait_for_fault(bus, f"{pki.crl}: expired")
    bus.publisher.send(*pki.sign(1))
    counted(bus, quarantined=1)
    assert client.ask(pki.sign(2))["status"] == "busy"
    pki.write_crl(end=NOW + 400 * DAY)
    wait_until_well(bus)
    assert release(bus) == "1 released, 0 stay\n"
    assert client.ask(pki.sign(2))["status"] == "accepted"
    bus.listener.expect([pki.sign(1), pki.sign(2)])
    assert nagios(bus)[0] == 0


def test_an_expired_certificate_is_refused_and_an_expired_ca_holds_back(
    timed: Relay, clock: Clock, host: Host, pki: Pki, start_bus: StartBus
) -> None:
    short = pki.certificate_authority.issue(SHELL, start=NOW - DAY, end=NOW + timedelta(hours=2))
    pki.signers[SHELL] = short
    bus = start(host, pki, start_bus, "enforce")
    client = bus.sockets.submitter(host.submit)
    assert bus.relay is timed
    assert client.ask(pki.sign(0))["status"] == "accepted"
    clock.step(3 * HOUR)
    assert client.ask(pki.sign(1))["reason"] == "certificate-expired"
    assert client.ask(pki.sign(2, SCM))["status"] == "accepted"
    clock.step(1001 * 24 * HOUR)
    wait_for_fault(bus, f"{pki.ca}: expired")
    assert client.ask(pki.sign(3, SCM))["status"] == "busy"


@pytest.mark.parametrize("how", FAULTS)
def test_a_relay_starts_without_a_usable_ca_or_crl_and_says_so(
    how: str, host: Host, pki: Pki, start_bus: StartBus
) -> None:
    broken(pki, how)
    bus = start(host, pki, start_bus, "enforce")
    wait_for_fault(bus, FAULTS[how])
    ran = host.run("fedmsg-relay", "check-config", "--settings", host.settings_file)
    assert (ran.code, ran.stderr) == (0, "")
    assert f"signatures cannot be checked: {bus.relay.status()['trust']['fault']}\n" in ran.stdout


def test_the_probe_and_exempt_topics_need_no_signature(enforcing: Bus) -> None:
    ran = enforcing.host.run("fedmsg-relay", "probe")
    assert ran.code == 0, ran.stdout
    exempt = MARKS.encode() + b".more", b'{"a": 1}'
    enforcing.publisher.send(*exempt)
    assert enforcing.listener.wait_for(exempt)[-1] == exempt
    assert enforcing.relay.status()["trust"]["distrusted"] == {}


def test_warn_without_a_crl_lets_messages_pass_and_is_critical(host: Host, pki: Pki, start_bus: StartBus) -> None:
    pki.crl.unlink()
    bus = start(host, pki, start_bus, "warn")
    client = bus.sockets.submitter(host.submit)
    bus.publisher.send(*pki.sign(0))
    assert client.ask(pki.sign(1))["status"] == "accepted"
    assert sorted(bus.listener.wait_for(pki.sign(1))[-2:]) == pki.signed(2)
    assert bus.relay.status()["trust"]["distrusted"]["trust-unusable"]["messages"] == 2
    code, line = nagios(bus)
    assert code == 2
    assert "messages pass unchecked" in line


# What it costs.


MEGABYTE = 1024 * 1024


def test_the_memory_of_an_idle_relay_that_checks(
    enforcing: Bus, submitter: Submitter, pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(200):
        assert submitter.ask(pki.sign(number))["status"] == "accepted"
    used = enforcing.relay.memory() / MEGABYTE
    with capsys.disabled():
        print(f"\nidle, enforcing: {used:.1f} MB, goal 45 MB")
    assert used < 60


def test_a_config_that_takes_long_to_read_anew_holds_nothing_up(enforcing: Bus, pki: Pki) -> None:
    bus, gate = enforcing, enforcing.host.directory / "gate"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.02)\n"
    text = (bus.host.directory / "fedmsg.d" / "sign.py").read_text()
    bus.host.write("fedmsg.d/sign.py", waits + text)
    bus.relay.systemd.forget()
    bus.relay.running.send_signal(signal.SIGHUP)
    wait_until(lambda: "RELOADING=1" in bus.relay.systemd.listen(), "it has begun")
    bus.publisher.send(*pki.sign(0))
    bus.listener.expect([pki.sign(0)])
    assert "READY=1" not in bus.relay.systemd.listen()
    gate.touch()
    bus.relay.systemd.wait_for("READY=1")
    bus.relay.wait_for_log("reloaded", "signatures=enforce")
