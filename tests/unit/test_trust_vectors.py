"""Stock's own verdict on the messages that the project was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from certificates import TOPIC
from fedmsg_relay.canonical import canonical
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.trust.authority import Authority
from fedmsg_relay.trust.policy import Policy, policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge, Verdict
from vectors import SIGNED, VECTORS, Vector, write_files

CONFIG: dict[str, Any] = {"topic_prefix": "org.fedoraproject", "environment": "dev", "endpoints": {}}
STRICTER = {
    9: Reason.NO_POLICY,
    159: Reason.CERTIFICATE_UNTRUSTED,
    215: Reason.TRUST_UNUSABLE,
    237: "the policy is refused",
    246: Reason.NO_POLICY,
    254: Reason.NO_POLICY,
    256: Reason.TOPIC_MISMATCH,
}
"""Vectors that stock accepts: no topic in the body or one that is no text, MD5, a CRL without content, a policy that is
a string, and frames that contradict the body, which stock's consumers refuse."""

REASONS: dict[str, set[object]] = {
    "good": {None, Reason.NO_POLICY},
    "re-encoding": {None},
    "tampered": {Reason.SIGNATURE_INVALID},
    "unsigned": {Reason.UNSIGNED, Reason.CRYPTO_UNKNOWN},
    "duplicate keys": {
        None,
        Reason.SIGNATURE_INVALID,
        Reason.CERTIFICATE_MALFORMED,
        Reason.CRYPTO_UNKNOWN,
    },
    "numbers": {None, Reason.SIGNATURE_INVALID},
    "signature text": {None, Reason.SIGNATURE_INVALID, Reason.SIGNATURE_MALFORMED},
    "certificate text": {None, Reason.CERTIFICATE_MALFORMED},
    "certificate": {
        None,
        Reason.CERTIFICATE_UNTRUSTED,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_REVOKED,
        Reason.CERTIFICATE_MALFORMED,
    },
    "CA file": {None, Reason.TRUST_UNUSABLE},
    "CRL file": {None, Reason.TRUST_UNUSABLE, Reason.CERTIFICATE_REVOKED},
    "policy": {None, Reason.NOT_PERMITTED, Reason.NO_POLICY, Reason.TOPIC_MISMATCH, "the policy is refused"},
    "envelope": {Reason.TOPIC_MISMATCH},
}
"""What may be said of the vectors of each group."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("vectors")
    write_files(directory)
    return directory


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector.id} {vector.what}")
def test_a_given_message_is_judged_as_stock_does(vector: Vector, files: Path) -> None:
    authority = Authority(str(files / vector.ca), str(files / vector.crl) if vector.crl else "")
    reason: object
    verdict = Verdict(None)
    try:
        rules = policy({**CONFIG, "routing_policy": vector.policy, "routing_nitpicky": vector.nitpicky})
    except ConfigError:
        reason = "the policy is refused"
    else:
        verdict = Judge(authority, rules).judge(vector.topic.encode(), vector.body.encode())
        reason = verdict.reason
    assert reason == STRICTER.get(vector.id) if vector.id in STRICTER else (reason is None) == (vector.stock is True)
    assert reason in REASONS[vector.group]
    ours = reason is Reason.TRUST_UNUSABLE
    assert ours or verdict.breaks_listeners == (vector.stock == "raises")


@pytest.mark.parametrize("body", SIGNED)
def test_what_stock_has_signed_is_trusted(body: str, files: Path) -> None:
    judge = Judge(Authority(str(files / "ca.crt"), str(files / "crl.pem")), Policy({}))
    assert canonical(json.loads(body)) == body.encode()
    assert judge.judge(TOPIC.encode(), body.encode()).reason is None
