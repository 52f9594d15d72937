"""Verdicts on messages of very many values, of which nothing is read before their signer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from certificates import TOPIC, TestCa, envelope, rsa_key
from court import Court
from fedmsg_relay.canonical import canonical
from fedmsg_relay.trust.huge import MAX_VALUES
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge

OTHER = TestCa(key=rsa_key(9)).issue()
"""A signer whose CA the judge does not trust."""


@pytest.fixture
def court(tmp_path: Path) -> Court:
    return Court.at(tmp_path)


def huge(values: int = MAX_VALUES) -> list[Any]:
    return [[]] * values


def test_a_message_of_very_many_values_is_trusted_as_its_signer_wrote_it(court: Court) -> None:
    for fields in (
        {},
        {"zzz": 1},
        {"username": '"signature":"x'},
        {"msg": [*huge(), {"certificate": "", "signature": ""}]},
    ):
        assert court.of(court.signer.sign({**envelope(huge()), **fields})).reason is None
    assert court.of(court.signer.sign(envelope(huge(10)))).reason is None
    # What comes in another form is not trusted, though stock would trust it.
    rewritten = json.dumps(json.loads(court.signer.sign(envelope(huge())))).encode()
    assert court.of(rewritten).reason is Reason.UNSIGNED
    int_keys = court.signer.sign(envelope([*huge(), {9: "a", 10: "b"}]))
    assert court.of(int_keys).reason is Reason.SIGNATURE_INVALID


def test_nothing_is_read_of_very_many_values_before_their_signer_is_known(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = court.signer.sign(envelope(huge()))
    rubbish = canonical({"msg": huge()})
    bodies = {
        rubbish: (Reason.UNSIGNED, None, False),
        rubbish[:-1] + b',"signature":"AAAA"}': (Reason.UNSIGNED, None, True),
        b"[" + b"[]," * MAX_VALUES + b"[]]": (Reason.UNSIGNED, None, True),
        signed.replace(b'"i":1', b'"i":2'): (Reason.SIGNATURE_INVALID, "signer", False),
        signed.replace(b'"signature":"', b'"signature":"AAAA'): (Reason.SIGNATURE_INVALID, "signer", False),
        signed.replace(b'"certificate":"', b'"certificate":"AAAA'): (Reason.CERTIFICATE_MALFORMED, None, True),
        OTHER.sign(envelope(huge())): (Reason.CERTIFICATE_UNTRUSTED, "signer", False),
    }
    monkeypatch.setattr(Judge, "_of_body", None)
    for body, expected in bodies.items():
        found = court.judge.judge(TOPIC.encode(), body)
        assert found == expected
