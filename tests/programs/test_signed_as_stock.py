"""Signing and verdicts against stock itself: the same bytes, and the same verdict on messages changed at random."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from certificates import TOPIC, Pair, TestCa, envelope, rsa_key
from fedmsg_relay import signing
from fedmsg_relay.canonical import canonical
from fedmsg_relay.message import fault
from fedmsg_relay.trust.authority import Authority
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge
from stock_trust import StockTrust

CA = TestCa()
OTHER = TestCa(key=rsa_key(9))
MUTATIONS = 1500

MSGS: list[Any] = [
    {},
    {"log": "hello"},
    "text",
    [None, True, False, {}, [], ""],
    {"ключ": "é \u2028 \U0001f600", "\ud800": "a lone surrogate"},
    {"B": 2, "b": 1, "\uffff": 3, "\U0001f600": 4},
    {"a": 1.0, "b": 1e22, "c": -0.0, "d": 0.1, "e": 1e16, "f": 5e-324, "g": 10**400, "h": -(2**64)},
    {"a": float("inf"), "b": float("-inf"), "c": float("nan")},
    {"url": "http://x/\\/", "control": "\0\t\n\x7f"},
    [[[[[{"a": [{}]}]]]]] * 50,
    {"commit": {"seen": False, "stats": {"files": {"a b": {"additions": 1}}}, "patch": "x" * 20_000}},
]


@pytest.fixture(scope="module")
def stock() -> Iterator[StockTrust]:
    with contextlib.closing(StockTrust()) as stock:
        yield stock


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("number", [0, 1])
def test_what_we_sign_is_byte_for_byte_what_stock_signs(
    number: int, form: serialization.PrivateFormat, stock: StockTrust, tmp_path: Path
) -> None:
    pair = TestCa().issue("shell-é.example.org", number)
    key = pair.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (tmp_path / "a.key").write_bytes(key)
    (tmp_path / "a.crt").write_bytes(b"Certificate:\n    Data:\n" + pair.pem.replace(b"\n", b"\r\n") + TestCa().pem)
    signer = signing.signer({"ssldir": str(tmp_path), "certnames": {"a": "a"}, "name": "a"})
    for msg in MSGS:
        theirs = stock.sign(canonical(envelope(msg)).decode(), str(tmp_path), "a")
        assert canonical(signer.sign(envelope(msg))).decode() == theirs


VALUES: list[Any] = [
    None,
    1,
    True,
    1.5,
    "",
    "x",
    "x509",
    "gpg",
    [],
    {},
    ["x509"],
    "\ud800",
    "é",
    "AAAA",
    "A===",
    10**30,
]


def mutated(rng: random.Random, signers: Sequence[Pair]) -> bytes:
    """A signed message, mostly with something changed in it."""
    pair = rng.choice(signers)
    certificate = bytearray(pair.pem)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        _change(rng, certificate, b"ABab01+/= \n\r\t-!:")
    message = json.loads(pair.sign(envelope(rng.choice(MSGS)), bytes(certificate)))
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        field = rng.choice([*message, "crypto", "signature", "certificate", "new"])
        way = rng.random()
        if way < 0.2:
            message.pop(field, None)
        elif way < 0.5:
            message[field] = rng.choice(VALUES)
        elif isinstance(message.get(field), str) and message[field].isascii():
            text = bytearray(message[field].encode())
            _change(rng, text, b"AZaz09+/=\n !-_")
            message[field] = text.decode()
    return json.dumps(message, indent=rng.choice([None, 1, "\t"])).encode()


def _change(rng: random.Random, text: bytearray, by: bytes) -> None:
    place = rng.randrange(len(text) + 1)
    new = rng.choice([b"", b"", bytes([rng.choice(by)]), bytes([rng.choice(by)]), b"==", b"\n\n"])
    text[place : place + rng.randrange(2)] = new


def test_what_is_changed_at_random_is_judged_as_stock_does(stock: StockTrust, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 -- to run the same again
    paths = CA.write(tmp_path, 55)
    judge = Judge(Authority(*paths), Policy({}))
    signers = [*[CA.issue()] * 6, CA.issue(serial=55), OTHER.issue()]
    seen = set()
    for _ in range(MUTATIONS):
        body = mutated(rng, signers)
        topic = json.loads(body).get("topic")
        frame = TOPIC.encode()
        if isinstance(topic, str):
            frame = topic.encode(errors="replace")
        assert fault(frame, body) is None
        theirs, ours = stock.validate(body.decode(), *paths), judge.judge(frame, body)
        seen.add(ours.reason)
        if ours.reason in (Reason.TOPIC_MISMATCH, Reason.NO_POLICY):
            assert not isinstance(topic, str) or "\ud800" in topic  # where ours is stricter
        else:
            assert (theirs is True) == (ours.reason is None), (theirs, ours, body)
        if isinstance(theirs, str):
            assert ours.breaks_listeners, (theirs, ours, body)
    assert {None, Reason.UNSIGNED, Reason.SIGNATURE_INVALID, Reason.CERTIFICATE_MALFORMED} <= seen
