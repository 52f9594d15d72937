"""A relay that checks signatures: what it takes, what it refuses, and what it says of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import Host, wait_until
from pki import SCM, SHELL, TOPIC, Pki, forged, settings, unsigned
from submitted import last_seq
from wire import Bus, StartBus, accepted


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@pytest.fixture
def enforcing(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    return start(host, pki, start_bus, "enforce")


@pytest.fixture
def warning(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    return start(host, pki, start_bus, "warn")


def start(host: Host, pki: Pki, start_bus: StartBus, signatures: str, **config: object) -> Bus:
    host.configure_submit()
    pki.configure(host, **config)
    settings(host, signatures)
    return start_bus()


def counted(bus: Bus, **expected: int) -> None:
    """The counters are these soon; what a listener hears is counted only after it is out."""

    def found() -> bool:
        messages = bus.relay.messages()
        return {name: messages[name] for name in expected} == expected

    wait_until(found, f"the counters are {expected}")


def quarantined(bus: Bus) -> list[tuple[str, str]]:
    """Reason and source of what is in the quarantine."""
    rows = bus.host.run("fedmsg-relay", "journal", "quarantine", "--json").stdout.splitlines()
    return [(row["reason"], row["source"]) for row in map(json.loads, rows)]


def test_enforce_takes_what_is_signed_and_refuses_the_rest(enforcing: Bus, pki: Pki) -> None:
    client = enforcing.sockets.submitter(enforcing.host.submit)
    good = pki.signed(4)
    enforcing.publisher.send(*good[0])
    enforcing.publisher.send(*unsigned(good[1]))
    enforcing.publisher.send(*forged(good[1]))
    enforcing.publisher.send(*good[1])
    enforcing.listener.expect(good[:2])
    last = last_seq(enforcing)
    answer = client.ask(good[2], forged(good[3]))
    assert (answer["status"], answer["reason"]) == ("refused", "signature-invalid")
    assert answer["detail"] == f"claims {SHELL}; message 2 of 2; none of them was taken"
    assert client.ask(good[2], good[3]) == accepted(last + 1, last + 2)
    enforcing.listener.expect(good[2:])
    here = "127.0.0.1"
    assert quarantined(enforcing) == [
        ("unsigned", here),
        ("signature-invalid", here),
        ("signature-invalid", f"{here}/submit"),
    ]
    counted(enforcing, quarantined=2, refused=2)
    enforcing.relay.wait_for_log("WARNING", "dropped 1 message: signature-invalid", f"127.0.0.1, claims {SHELL}")


def test_warn_takes_all_and_tells_of_it(warning: Bus, pki: Pki) -> None:
    client = warning.sockets.submitter(warning.host.submit)
    good = pki.sign(0, SCM)
    sent = [good, unsigned(good), forged(good), (TOPIC.encode(), b"{}")]
    for message in sent:
        warning.publisher.send(*message)
    warning.listener.expect(sent)
    assert client.ask(unsigned(pki.sign(1)))["status"] == "accepted"
    warning.listener.expect([unsigned(pki.sign(1))])
    trust = warning.relay.status()["trust"]
    here = "127.0.0.1"
    assert trust["distrusted"] == {
        "unsigned": {"messages": 3, "source": here, "signer": None},
        "signature-invalid": {"messages": 1, "source": here, "signer": SCM},
    }
    assert trust["signers"] == [{"name": SCM, "messages": 1}]
    counted(warning, quarantined=0, refused=0)
    warning.relay.wait_for_log("WARNING", "warning of 1 message: signature-invalid (last from 127.0.0.1, claims")
    assert quarantined(warning) == []


def test_a_message_that_ends_stock_listeners_is_kept_out_by_warn_as_well(warning: Bus, pki: Pki) -> None:
    client = warning.sockets.submitter(warning.host.submit)
    deadly = TOPIC.encode(), b"null"
    warning.publisher.send(*deadly)
    answer = client.ask(deadly)
    assert (answer["status"], answer["reason"]) == ("refused", "unsigned")
    warning.publisher.send(*pki.sign(0))
    warning.listener.expect([pki.sign(0)])
    assert sorted(quarantined(warning)) == [("unsigned", "127.0.0.1"), ("unsigned", "127.0.0.1/submit")]
    assert warning.relay.status()["trust"]["distrusted"]["unsigned"]["messages"] == 2


def test_a_replay_at_inbound_is_a_duplicate_also_after_a_restart(enforcing: Bus, pki: Pki) -> None:
    small, large = pki.sign(0), pki.sign(1, msg={"text": "x" * 10_000})
    for message in (small, large, small, large):
        enforcing.publisher.send(*message)
    enforcing.listener.expect([small, large])
    counted(enforcing, duplicates=2)
    assert enforcing.relay.stop() == 0
    enforcing.relay.start()
    publisher = enforcing.sockets.publisher(enforcing.host.inbound)
    for message in (small, large, pki.sign(2)):
        publisher.send(*message)
    assert enforcing.listener.wait_for(pki.sign(2)) == [pki.sign(2)]
    counted(enforcing, duplicates=2)


def test_a_signer_that_uses_a_name_twice_has_both_published(enforcing: Bus, pki: Pki) -> None:
    one, other = pki.sign(0), pki.sign(0, msg={"other": 1})
    for message in (one, other, one, other):
        enforcing.publisher.send(*message)
    enforcing.publisher.send(*pki.sign(1))
    enforcing.listener.expect([one, other, pki.sign(1)])
    counted(enforcing, duplicates=2)
    assert enforcing.relay.status()["reused_names"] == 1


def test_nothing_is_a_duplicate_at_inbound_where_nothing_is_enforced(warning: Bus, pki: Pki) -> None:
    warning.publisher.send(*pki.sign(0))
    warning.publisher.send(*pki.sign(0))
    warning.listener.expect([pki.sign(0), pki.sign(0)])
