"""The ruling on a message by its signature: every reason, whether the relay warns or enforces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certificates import DAY, NOW, TOPIC, Pair, TestCa, changed, envelope, rsa_key
from fedmsg_relay.canonical import canonical
from fedmsg_relay.daemon import tally
from fedmsg_relay.daemon.checks import Checks, checks
from fedmsg_relay.daemon.screening import Condition, Ruling, Screening, condition, origin
from fedmsg_relay.daemon.settings import Signatures, Trust
from fedmsg_relay.daemon.tally import Tally, shown
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason

CA = TestCa()
SIGNER, OTHER, REVOKED = CA.issue(), CA.issue("other"), CA.issue("revoked", serial=77)
FOREIGN = TestCa(key=rsa_key(9)).issue("foreign")
LISTED = "org.example.listed"
PROBE = "org.fedoraproject.dev.relay.probe"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return CA.write(tmp_path, 77)


@pytest.fixture
def policy() -> Policy:
    return Policy({LISTED: frozenset(["other"])}, False, ("org.example.free.",), PROBE)


def signed(pair: Pair = SIGNER, topic: Any = TOPIC, **more: Any) -> bytes:
    return pair.sign({**envelope(topic=topic), **more})


Made = Callable[[], bytes]
TABLE: list[tuple[str, str, Made, Reason | None, str | None, bool]] = [
    # what, topic, body, reason, signer, kept out by warn as well
    ("signed", TOPIC, signed, None, "signer", False),
    ("permitted", LISTED, lambda: signed(OTHER, LISTED), None, "other", False),
    ("unsigned", TOPIC, lambda: canonical(envelope()), Reason.UNSIGNED, None, False),
    ("null", TOPIC, lambda: b"null", Reason.UNSIGNED, None, True),
    ("gpg", TOPIC, lambda: changed(signed(), crypto="gpg"), Reason.CRYPTO_UNKNOWN, None, False),
    ("crypto is a list", TOPIC, lambda: changed(signed(), crypto=[]), Reason.CRYPTO_UNKNOWN, None, True),
    ("no base64", TOPIC, lambda: changed(signed(), signature="A"), Reason.SIGNATURE_MALFORMED, None, True),
    ("no PEM", TOPIC, lambda: changed(signed(), certificate=""), Reason.CERTIFICATE_MALFORMED, None, True),
    ("foreign", TOPIC, lambda: signed(FOREIGN), Reason.CERTIFICATE_UNTRUSTED, "foreign", False),
    ("expired", TOPIC, lambda: signed(CA.issue(end=NOW - DAY / 2)), Reason.CERTIFICATE_EXPIRED, "signer", False),
    ("revoked", TOPIC, lambda: signed(REVOKED), Reason.CERTIFICATE_REVOKED, "revoked", False),
    ("changed", TOPIC, lambda: changed(signed(), i=7), Reason.SIGNATURE_INVALID, "signer", False),
    ("other topic", TOPIC, lambda: signed(topic="org.example.x"), Reason.TOPIC_MISMATCH, "signer", False),
    ("not permitted", LISTED, lambda: signed(topic=LISTED), Reason.NOT_PERMITTED, "signer", False),
    ("topic is a number", TOPIC, lambda: signed(topic=1), Reason.NO_POLICY, "signer", False),
    ("topic is a list", TOPIC, lambda: signed(topic=["x"]), Reason.NO_POLICY, "signer", True),
    ("exempt", "org.example.free.x", lambda: b"{}", None, None, False),
    ("the probe", PROBE, lambda: b"{}", None, None, False),
    ("exempt and deadly", "org.example.free.x", lambda: b"1", Reason.UNSIGNED, None, True),
]
PROVEN = (None, Reason.TOPIC_MISMATCH, Reason.NOT_PERMITTED, Reason.NO_POLICY)


@pytest.mark.parametrize("what", [row[0] for row in TABLE])
@pytest.mark.parametrize("signatures", [Signatures.WARN, Signatures.ENFORCE])
def test_what_becomes_of_a_message(signatures: Signatures, what: str, files: tuple[str, str], policy: Policy) -> None:
    _, topic, make, reason, signer, deadly = next(row for row in TABLE if row[0] == what)
    screening = Screening(Checks(signatures, *files, policy))
    enforce = signatures is Signatures.ENFORCE
    proven = signer is not None and reason in PROVEN
    kept_out = reason if enforce or deadly else None
    ruling = screening.rule(topic.encode(), make())
    assert ruling == Ruling(kept_out, reason, signer, proven, enforce and proven)
    assert ruling is not None
    screening.note(ruling, "192.0.2.1")
    assert screening.tally.signers() == ([{"name": signer, "messages": 1}] if signer and not reason else [])
    told = {} if reason is None else {str(reason): {"messages": 1, "source": "192.0.2.1", "signer": signer}}
    assert screening.tally.distrusted() == told


@pytest.mark.parametrize("what", [row[0] for row in TABLE])
def test_off_looks_at_nothing(what: str) -> None:
    _, topic, make, *_ = next(row for row in TABLE if row[0] == what)
    screening = Screening(Checks())
    assert screening.rule(topic.encode(), make()) is None
    assert screening.condition == Condition(Signatures.OFF)


def test_every_reason_is_in_the_table() -> None:
    assert {row[3] for row in TABLE} == {None, *Reason} - {Reason.SOURCE_NOT_ALLOWED, Reason.TRUST_UNUSABLE}


@pytest.mark.parametrize(
    ("signatures", "reason"), [(Signatures.WARN, None), (Signatures.ENFORCE, Reason.TRUST_UNUSABLE)]
)
def test_without_a_crl_a_signed_message_waits_or_passes(
    signatures: Signatures, reason: Reason | None, files: tuple[str, str], policy: Policy
) -> None:
    Path(files[1]).unlink()
    screening = Screening(Checks(signatures, *files, policy))
    expected = Ruling(reason, Reason.TRUST_UNUSABLE, "signer")
    assert screening.rule(TOPIC.encode(), signed()) == expected
    assert screening.condition.fault == f"{files[1]}: No such file or directory"


def test_the_condition_names_the_files_their_ends_and_what_ends_soon(tmp_path: Path, policy: Policy) -> None:
    ca, crl = CA.write(tmp_path)
    Path(crl).write_bytes(CA.crl(end=NOW + 13 * DAY))
    found = condition(Checks(Signatures.ENFORCE, ca, crl, policy))
    assert found.fault == ""
    assert found.ca == (ca, (NOW + 100 * DAY).timestamp(), False)
    assert found.crl == (crl, (NOW + 13 * DAY).timestamp(), True)
    assert condition(Checks(Signatures.WARN, ca, "", policy)).crl is None


def test_a_name_of_a_signer_is_shown_in_bounds_and_steers_no_terminal() -> None:
    assert shown("shell-app01.example.org") == "shell-app01.example.org"
    assert shown("\x1b[2J") == r"\x1b[2J"
    assert shown("x" * 5000) == "x" * tally.NAME_LENGTH + "..."
    ruling = Ruling(None, Reason.SIGNATURE_INVALID, "x")
    assert origin("::ffff:192.0.2.1", ruling) == "192.0.2.1, claims x"
    assert origin("192.0.2.1", ruling._replace(is_proven=True)) == "192.0.2.1, signed by x"
    assert origin("192.0.2.1", ruling._replace(signer=None)) == "192.0.2.1"


def test_the_tally_is_bounded_and_names_those_of_the_most_messages() -> None:
    found = Tally()
    for number in range(tally.SIGNERS + 500):
        found.trust(f"signer {number}")
    for _ in range(3):
        found.trust("busy")
    assert found.signers()[0] == {"name": "busy", "messages": 3}
    assert len(found.signers()) == tally.TOP
    assert len(found._signers) == tally.SIGNERS


# What is checked, by relay.toml and the global config.

CONFIG: dict[str, Any] = {"topic_prefix": "org.fedoraproject", "environment": "dev", "endpoints": {}}
NAMED = {"ca_cert_location": "/g/ca.crt", "crl_location": "/g/crl.pem"}


@pytest.mark.parametrize(
    ("config", "trust", "ca", "crl"),
    [
        (NAMED, {}, "/g/ca.crt", "/g/crl.pem"),
        (NAMED, {"ca": "/t/ca.crt"}, "/t/ca.crt", "/g/crl.pem"),
        (NAMED, {"crl": ""}, "/g/ca.crt", ""),
        ({**NAMED, "crl_location": None}, {}, "/g/ca.crt", ""),
        ({"ca_cert_location": "/g/ca.crt"}, {}, "/g/ca.crt", ""),
        ({}, {"ca": "ca.crt", "crl": "crl.pem"}, "ca.crt", "crl.pem"),
    ],
)
def test_where_the_files_are_named(config: dict[str, Any], trust: dict[str, Any], ca: str, crl: str) -> None:
    found = checks({**CONFIG, **config}, Trust(Signatures.WARN, **trust))
    assert (found.ca, found.crl) == (ca, crl)
    assert found.policy.probe == PROBE


@pytest.mark.parametrize(
    ("config", "trust"),
    [
        ({}, {}),
        (NAMED, {"ca": ""}),
        (NAMED, {"ca": "https://x/ca.crt"}),
        ({**NAMED, "crl_location": "https://x/crl.pem"}, {}),
        ({**NAMED, "ca_cert_location": "http://x/ca.crt"}, {}),
    ],
)
def test_a_place_without_a_file_is_refused_unless_nothing_is_checked(
    config: dict[str, Any], trust: dict[str, Any]
) -> None:
    for signatures in (Signatures.WARN, Signatures.ENFORCE):
        with pytest.raises(ConfigError, match="name a file"):
            checks({**CONFIG, **config}, Trust(signatures, **trust))
    assert checks({**CONFIG, **config}, Trust(Signatures.OFF, **trust)) == Checks(policy=Policy({}, probe=PROBE))


def test_a_long_body_is_screened(files: tuple[str, str], policy: Policy) -> None:
    screening = Screening(Checks(Signatures.ENFORCE, *files, policy))
    body = signed(msg={"text": "x" * 1_000_000})
    assert json.loads(body)["msg_id"]
    assert screening.rule(TOPIC.encode(), body) == Ruling(None, None, "signer", True, True)
