"""A relay that checks signatures: what it takes, what it refuses, and what it says of that."""

from __future__ import annotations

import json

import pytest

from bus import Bus, StartBus
from harness import Host, Ran
from messages import Message
from pki import MARKS, SCM, SHELL, TOPIC, Pki, counted, forged, start, unsigned
from submitted import last_seq
from wire import accepted

PROBE = "org.fedoraproject.test.relay.probe"


@pytest.fixture
def enforcing(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    return start(host, pki, start_bus, "enforce")


@pytest.fixture
def warning(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    return start(host, pki, start_bus, "warn")


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


def test_messages_that_need_no_signature_do_not_make_the_relay_forget_one_by_its_msg_id(
    enforcing: Bus, pki: Pki
) -> None:
    signed = pki.sign(0)
    name = json.loads(signed[1])["msg_id"]
    marks = [(MARKS.encode(), json.dumps({"topic": MARKS, "msg_id": name, "i": i}).encode()) for i in range(10)]
    for message in (signed, *marks[:5]):
        enforcing.publisher.send(*message)
    enforcing.listener.expect([signed, *marks[:5]])
    for message in (*marks[5:], signed, pki.sign(1)):
        enforcing.publisher.send(*message)
    enforcing.listener.expect([*marks[5:], pki.sign(1)])
    counted(enforcing, duplicates=1)


def in_other_bytes(message: Message) -> list[Message]:
    """The same message in bytes that its signature does not cover."""
    topic, body = message
    return [
        (topic, b" " + body),
        (topic, body.replace(b'{"', b'{  "', 1)),
        (topic, body.replace(b'"signature":"', b'"signature":"!', 1)),
        (topic, body.replace(b'"certificate":"', b'"certificate":"\\n', 1)),
        (topic, body.replace(b'"topic"', b'"t\\u006fpic"', 1)),
    ]


def test_a_replay_in_other_bytes_is_a_duplicate_at_inbound_and_submit(enforcing: Bus, pki: Pki) -> None:
    small, large = pki.sign(0), pki.sign(1, msg={"text": "x" * 10_000})
    replays = in_other_bytes(small) + in_other_bytes(large)
    for message in (small, large, *replays):
        enforcing.publisher.send(*message)
    counted(enforcing, duplicates=len(replays))
    assert enforcing.relay.stop() == 0
    enforcing.relay.start()
    client = enforcing.sockets.submitter(enforcing.host.submit)
    for message in replays:
        assert client.ask(message) | {"seq": 0} == {"status": "accepted", "seq": 0, "duplicates": 1}
    assert client.ask(pki.sign(2))["status"] == "accepted"
    assert [message for message in enforcing.listener.wait_for(pki.sign(2)) if message[0] == small[0]] == [
        small,
        large,
        pki.sign(2),
    ]
    assert enforcing.relay.status()["reused_names"] == 0


def test_an_exempt_topic_carries_no_message_of_another_topic(enforcing: Bus) -> None:
    client = enforcing.sockets.submitter(enforcing.host.submit)
    for topic in (MARKS, PROBE):
        lie = topic.encode(), b'{"topic": "org.example.prod.git.receive", "msg": {}}'
        assert client.ask(lie)["reason"] == "topic-mismatch"
        assert client.ask((topic.encode(), b'{"topic": "%s"}' % topic.encode()))["status"] == "accepted"
    assert client.ask((PROBE.encode(), b'{"msg": "%s"}' % (b"x" * 3000)))["reason"] == "unsigned"


def test_what_was_submitted_and_comes_again_at_inbound_is_a_duplicate(enforcing: Bus, pki: Pki) -> None:
    client = enforcing.sockets.submitter(enforcing.host.submit)
    assert client.ask(pki.sign(0))["status"] == "accepted"
    enforcing.publisher.send(*pki.sign(0))
    enforcing.publisher.send(*pki.sign(1))
    enforcing.listener.expect([pki.sign(0), pki.sign(1)])
    assert client.ask(pki.sign(1))["duplicates"] == 1
    counted(enforcing, duplicates=2)
    signers = enforcing.relay.status()["trust"]["signers"]
    assert [one["name"] for one in signers] == [SHELL]


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


# Who signed, as the commands tell it.


def journal(bus: Bus, *words: str) -> Ran:
    return bus.host.run("fedmsg-relay", "--settings", bus.host.settings_file, "journal", *words)


def seq_of(bus: Bus, message: Message) -> str:
    bus.publisher.send(*message)
    bus.listener.wait_for(message)
    return str(last_seq(bus))


def test_the_commands_name_the_signer(warning: Bus, pki: Pki) -> None:
    good, bad, none = pki.sign(0), forged(pki.sign(1, SCM)), unsigned(pki.sign(2))
    for message, claim, said in (
        (good, [f"claims {SHELL}"], f"signed by {SHELL} (valid)\n"),
        (bad, [f"claims {SCM}"], f"claims {SCM} (signature-invalid)\n"),
        (none, [], ""),
    ):
        seq = seq_of(warning, message)
        line = journal(warning, "ls", "--after", str(int(seq) - 1)).stdout.rstrip("\n")
        assert [" ".join(line.split()[5:])] == (claim or [""])
        shown = journal(warning, "show", seq)
        assert (shown.code, shown.stdout.encode(), shown.stderr) == (0, message[1] + b"\n", said)
        as_json = json.loads(journal(warning, "show", seq, "--json").stdout)
        assert as_json["body"].encode() == message[1]
        assert as_json.get("signer") == (claim[0].split()[1] if claim else None)
        assert as_json.get("verdict", "") == (said.rpartition("(")[2].rstrip(")\n"))


def test_show_verifies_by_the_files_of_now(warning: Bus, pki: Pki) -> None:
    seq = seq_of(warning, pki.sign(0))
    pki.configure(warning.host, routing_policy={TOPIC: [SCM]})
    assert journal(warning, "show", seq).stderr == f"signed by {SHELL} (not-permitted)\n"
    pki.revoke(SHELL)
    assert journal(warning, "show", seq).stderr == f"claims {SHELL} (certificate-revoked)\n"
    pki.crl.unlink()
    said = f"claims {SHELL} (not verified: {pki.crl}: No such file or directory)\n"
    assert journal(warning, "show", seq).stderr == said
    pki.configure(warning.host, ca_cert_location="https://example.org/ca.crt")
    assert "not verified: global config: ca_cert_location: 'https" in journal(warning, "show", seq).stderr


def test_the_quarantine_tells_whom_a_message_claims(enforcing: Bus, pki: Pki) -> None:
    enforcing.publisher.send(*forged(pki.sign(0)))
    enforcing.publisher.send(*pki.sign(1))
    enforcing.listener.expect([pki.sign(1)])
    line = journal(enforcing, "quarantine").stdout.split()
    assert line[1:3] == ["signature-invalid", "127.0.0.1"]
    assert line[5:7] == ["claims", SHELL]
    assert json.loads(journal(enforcing, "quarantine", "--json").stdout)["signer"] == SHELL
