"""The verdict on a message: each reason not to trust it, and the policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certificates import NOW, TOPIC, TestCa, changed, envelope, rsa_key
from court import Court
from fedmsg_relay.canonical import canonical
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.trust import distinguished_names
from fedmsg_relay.trust.policy import policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import MAX_NESTING, Verdict

CONFIG: dict[str, Any] = {"topic_prefix": "org.fedoraproject", "environment": "dev", "endpoints": {}}


@pytest.fixture
def court(tmp_path: Path) -> Court:
    return Court.at(tmp_path)


def test_a_signed_message_is_trusted_and_names_its_signer(court: Court) -> None:
    verdict = court.of(court.signer.sign(envelope()))
    assert verdict.is_proven
    assert verdict == (None, "signer", False)


BODIES: dict[str, tuple[Callable[[Court], bytes], Verdict]] = {
    "unsigned": (lambda _: canonical(envelope()), Verdict(Reason.UNSIGNED)),
    "a number": (lambda _: b"1", Verdict(Reason.UNSIGNED, None, True)),
    "null": (lambda _: b"null", Verdict(Reason.UNSIGNED, None, True)),
    "a text": (lambda _: b'"a"', Verdict(Reason.UNSIGNED)),
    "a text that stock takes for an object": (lambda _: b'"my crypto"', Verdict(Reason.UNSIGNED, None, True)),
    "a list that stock takes for an object": (
        lambda _: b'["certificate", "signature"]',
        Verdict(Reason.UNSIGNED, None, True),
    ),
    "without a signature": (lambda c: changed(c.signer.sign(envelope()), signature=None), Verdict(Reason.UNSIGNED)),
    "without a certificate": (lambda c: changed(c.signer.sign(envelope()), certificate=None), Verdict(Reason.UNSIGNED)),
    "gpg": (
        lambda _: canonical({**envelope(), "crypto": "gpg", "signature": "x"}),
        Verdict(Reason.CRYPTO_UNKNOWN),
    ),
    "crypto null": (
        lambda c: c.signer.sign(envelope()).replace(b'"x509"', b"null"),
        Verdict(Reason.CRYPTO_UNKNOWN),
    ),
    "crypto an object": (
        lambda c: changed(c.signer.sign(envelope()), crypto={}),
        Verdict(Reason.CRYPTO_UNKNOWN, None, True),
    ),
    "signature a number": (
        lambda c: changed(c.signer.sign(envelope()), signature=1),
        Verdict(Reason.SIGNATURE_MALFORMED, None, True),
    ),
    "signature no base64": (
        lambda c: changed(c.signer.sign(envelope()), signature="a"),
        Verdict(Reason.SIGNATURE_MALFORMED, None, True),
    ),
    "certificate a list": (
        lambda c: changed(c.signer.sign(envelope()), certificate=[]),
        Verdict(Reason.CERTIFICATE_MALFORMED, None, True),
    ),
    "certificate no base64": (
        lambda c: changed(c.signer.sign(envelope()), certificate="a"),
        Verdict(Reason.CERTIFICATE_MALFORMED, None, True),
    ),
    "certificate very long": (
        lambda c: c.signer.sign(envelope(), b"#" * 100_000 + b"\n" + c.signer.pem),
        Verdict(Reason.CERTIFICATE_MALFORMED, None, True),
    ),
    "certificate a lone surrogate": (
        lambda c: changed(c.signer.sign(envelope()), certificate="\ud800"),
        Verdict(Reason.CERTIFICATE_MALFORMED, None, True),
    ),
    "no CN": (lambda c: c.ca.issue(None).sign(envelope()), Verdict(Reason.CERTIFICATE_MALFORMED, None, True)),
    "of another CA": (
        lambda _: TestCa(key=rsa_key(9)).issue().sign(envelope()),
        Verdict(Reason.CERTIFICATE_UNTRUSTED, "signer"),
    ),
    "expired": (
        lambda c: c.ca.issue(end=NOW).sign(envelope()),
        Verdict(Reason.CERTIFICATE_EXPIRED, "signer"),
    ),
    "of tomorrow": (
        lambda c: c.ca.issue(start=NOW + timedelta(seconds=1)).sign(envelope()),
        Verdict(Reason.CERTIFICATE_EXPIRED, "signer"),
    ),
    "revoked": (lambda c: c.ca.issue(serial=77).sign(envelope()), Verdict(Reason.CERTIFICATE_REVOKED, "signer")),
    "changed": (
        lambda c: changed(c.signer.sign(envelope()), i=2),
        Verdict(Reason.SIGNATURE_INVALID, "signer"),
    ),
    "topic no text": (
        lambda c: c.signer.sign(envelope(topic=1)),
        Verdict(Reason.NO_POLICY, "signer"),
    ),
    "topic a list": (
        lambda c: c.signer.sign(envelope(topic=[TOPIC])),
        Verdict(Reason.NO_POLICY, "signer", True),
    ),
    "another topic": (
        lambda c: c.signer.sign(envelope(topic="other")),
        Verdict(Reason.TOPIC_MISMATCH, "signer"),
    ),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_message_that_is_not_trusted_has_its_reason(kind: str, court: Court) -> None:
    make, expected = BODIES[kind]
    verdict = court.of(make(court))
    assert verdict == expected
    assert verdict.is_proven == (verdict.reason in (Reason.NO_POLICY, Reason.TOPIC_MISMATCH))


def test_an_ec_certificate_is_malformed(court: Court) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    body = court.signer.sign(envelope(), court.ca.issue(key=key).pem)
    assert court.of(body) == (Reason.CERTIFICATE_MALFORMED, None, True)


PARTS = [x509.NameAttribute(NameOID.COMMON_NAME, "signer")] * 65
EXTENSIONS = [(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.{n}"), b""), False) for n in range(1, 66)]
MANY: dict[str, tuple[Callable[[int], dict[str, Any]], Reason | None]] = {
    "subject": (lambda count: {"subject": x509.Name(PARTS[:count])}, None),
    "issuer": (lambda count: {"issuer": x509.Name(PARTS[:count])}, Reason.CERTIFICATE_UNTRUSTED),
    "extensions": (lambda count: {"extensions": EXTENSIONS[:count]}, None),
}


@pytest.mark.parametrize("place", MANY)
def test_a_certificate_of_more_than_64_parts_is_malformed(court: Court, place: str) -> None:
    """It is not read: it comes from somebody who is not known yet, and reading it would hold the relay up."""
    options, allowed = MANY[place]
    for count, expected in ((64, allowed), (65, Reason.CERTIFICATE_MALFORMED)):
        certificate = court.ca.issue(**options(count)).pem
        assert court.of(court.signer.sign(envelope(), certificate)).reason is expected, count


def test_a_certificate_field_holds_exactly_one_pem_block(court: Court) -> None:
    pem = court.signer.pem
    around = [b"text\n" + pem, pem + b"text\n", pem.rstrip(), pem.replace(b"\n", b"\r\n")]
    assert [court.of(court.signer.sign(envelope(), field)).reason for field in around] == [None] * 4
    others = [
        b"",
        pem + pem,
        pem + court.ca.pem,
        pem + b"-----BEGIN CERTIFICATE-----\n",
        pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        base64.b64decode(b"".join(pem.splitlines()[1:-1])),
    ]
    for field in others:
        assert court.of(court.signer.sign(envelope(), field)) == (Reason.CERTIFICATE_MALFORMED, None, True)


def test_every_reason_of_a_message_is_tested() -> None:
    tested = {verdict.reason for _, verdict in BODIES.values()}
    elsewhere = {Reason.NOT_PERMITTED, Reason.TRUST_UNUSABLE}
    assert {*Reason} - tested - elsewhere == {Reason.SOURCE_NOT_ALLOWED}  # for which the message is not looked at


@pytest.mark.parametrize("depth", [MAX_NESTING, MAX_NESTING + 1])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_message_that_stock_cannot_copy_is_not_trusted(depth: int, opening: str, court: Court) -> None:
    levels = depth - 1
    msg = json.loads(opening * levels + "1" + ("]" if opening == "[" else "}") * levels)
    expected = (None, "signer", False) if depth == MAX_NESTING else (Reason.SIGNATURE_INVALID, "signer", True)
    assert court.of(court.signer.sign(envelope(msg))) == expected


def test_many_brackets_side_by_side_are_no_depth(court: Court) -> None:
    assert court.of(court.signer.sign(envelope([[{}]] * 2000))).reason is None


def test_integer_keys_that_change_their_order_are_not_valid(court: Court) -> None:
    assert court.of(court.signer.sign(envelope({9: "a", 10: "b"}))).reason is Reason.SIGNATURE_INVALID
    assert court.of(court.signer.sign(envelope({1: "a", 2: "b"}))).reason is None


def test_a_certificate_runs_out_while_it_is_remembered(court: Court) -> None:
    body = court.ca.issue(end=NOW + timedelta(seconds=10)).sign(envelope())
    for seconds, reason in ((0, None), (9.9, None), (10, Reason.CERTIFICATE_EXPIRED), (0, None)):
        court.now[0] = NOW.timestamp() + seconds
        assert court.of(body).reason is reason


def test_without_a_ca_every_signed_message_waits(court: Court, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").unlink()
    signed = court.signer.sign(envelope())
    assert court.of(signed) == (Reason.TRUST_UNUSABLE, "signer", False)
    assert not court.of(signed).is_proven
    assert court.of(changed(court.signer.sign(envelope()), i=2)).reason is Reason.TRUST_UNUSABLE
    assert court.of(canonical(envelope())).reason is Reason.UNSIGNED
    assert court.of(court.signer.sign(envelope(), b"")).reason is Reason.CERTIFICATE_MALFORMED


def test_an_exempt_topic_needs_no_signature(court: Court) -> None:
    probe = "org.fedoraproject.dev.relay.probe"
    court.judge.policy = policy({**CONFIG, "routing_nitpicky": True}, ["org.fedoraproject.dev.old."])
    for topic, reason in (
        ("org.fedoraproject.dev.old.thing", None),
        ("org.fedoraproject.dev.old", Reason.UNSIGNED),
        (probe, None),
        (f"{probe}.more", Reason.UNSIGNED),
    ):
        assert court.of(canonical(envelope(topic=topic)), topic).reason is reason
        assert court.of(b'{"crypto": []}', topic).reason is Reason.CRYPTO_UNKNOWN  # which would end listeners
    assert court.of(changed(court.signer.sign(envelope(topic=probe)), i=2), probe) == (None, None, False)


def test_the_policy_permits_signers_by_topic(court: Court) -> None:
    body = court.signer.sign(envelope())
    for routing, nitpicky, reason in (
        ({}, False, None),
        ({}, True, Reason.NO_POLICY),
        ({TOPIC: ["signer"]}, True, None),
        ({TOPIC: ("other", "signer")}, False, None),
        ({TOPIC: []}, False, Reason.NOT_PERMITTED),
        ({TOPIC: ["signe", "signer2", None]}, False, Reason.NOT_PERMITTED),
        ({"other": ["signer"]}, False, None),
        ({"other": ["signer"]}, True, Reason.NO_POLICY),
    ):
        court.judge.policy = policy({**CONFIG, "routing_policy": routing, "routing_nitpicky": nitpicky})
        assert court.of(body).reason is reason


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"routing_policy": {TOPIC: "signer"}}, f"routing_policy['{TOPIC}'] must be a list"),
        ({"routing_policy": {TOPIC: None}}, f"routing_policy['{TOPIC}'] must be a list"),
        ({"routing_policy": None}, "routing_policy must be a dict"),
        ({"crypto_validate_backends": ["gpg"]}, "crypto_validate_backends"),
        ({"crypto_backend": "gpg"}, "crypto_validate_backends"),
    ],
)
def test_a_policy_that_cannot_be_used_is_named(more: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as raised:
        policy({**CONFIG, **more})
    assert named in str(raised.value)


@pytest.mark.parametrize("tag", [0x53, 0x93, 0xD3])
def test_a_name_with_a_part_that_is_not_a_string_is_damaged(tag: int) -> None:
    whole = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03%c\x01x"
    assert distinguished_names.name(whole % 0x13)
    with pytest.raises(ValueError, match="not a string"):
        distinguished_names.name(whole % tag)
