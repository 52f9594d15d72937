"""Certificates, CAs and CRLs that are not well-formed: each gets a verdict or a reason, and none ends the relay."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding

from certificates import NOW, TOPIC, TestCa, envelope
from fedmsg_relay import der, pem
from fedmsg_relay.canonical import canonical
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.signing import Pair, Signer
from fedmsg_relay.trust import signers
from fedmsg_relay.trust.authority import Anchor, Authority, Unusable
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge

MUTATIONS = 1500
"""Of each file."""

EMPTY, VERSION, EXTENSIONS, NO_BITS = b"\x30\x00", b"\xa0\x00", b"\xa3\x00", b"\x03\x01\x00"
ONE = b"\x02\x01\x01"


def sequence(*parts: bytes, tag: int = der.SEQUENCE) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    digits = length.to_bytes(-(-length.bit_length() // 8), "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


CERTIFICATES = {
    "nothing": b"",
    "half an element": b"\x30",
    "nothing in it": sequence(EMPTY, EMPTY, NO_BITS),
    "a version alone": sequence(sequence(VERSION), EMPTY, NO_BITS),
    "no extensions where some are announced": sequence(
        sequence(ONE, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EXTENSIONS), EMPTY, NO_BITS
    ),
}


@pytest.fixture(scope="module")
def ca() -> TestCa:
    return TestCa()


@pytest.fixture
def authority(ca: TestCa, tmp_path: Path) -> Authority:
    return Authority(*ca.write(tmp_path), NOW.timestamp)


def armoured(encoded: bytes) -> str:
    return base64.encodebytes(pem.text(encoded, pem.CERTIFICATE).encode()).decode()


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_certificate_that_is_not_one_is_malformed(kind: str, authority: Authority) -> None:
    text = armoured(CERTIFICATES[kind])
    body = canonical({**envelope(), "crypto": "x509", "signature": "AAAA", "certificate": text})
    verdict = Judge(authority, Policy({})).judge(TOPIC.encode(), body)
    assert verdict.reason is Reason.CERTIFICATE_MALFORMED
    assert signers.claimed(text) is None


def test_a_changed_certificate_gets_a_verdict(ca: TestCa, authority: Authority, seed: int) -> None:
    anchor = authority.current()
    assert isinstance(anchor, Anchor)
    for encoded in changed(pem.only(ca.issue().pem, pem.CERTIFICATE), seed):
        text = armoured(encoded)
        assert signers.judge(text, anchor).reason is not None
        signers.claimed(text)


@pytest.mark.parametrize("file", ["ca.crt", "crl.pem"])
def test_a_changed_file_of_the_ca_can_be_used_or_has_a_reason(file: str, ca: TestCa, tmp_path: Path, seed: int) -> None:
    paths = ca.write(tmp_path)
    labels = {"ca.crt": pem.CERTIFICATES, "crl.pem": (pem.CRL,)}[file]
    for encoded in changed(pem.first((tmp_path / file).read_bytes(), *labels), seed):
        (tmp_path / file).write_text(pem.text(encoded, labels[0]), encoding="ascii")
        found = Authority(*paths, NOW.timestamp).current()
        # OpenSSL does not look at the CA's signature of itself either, so a change there is not seen.
        assert isinstance(found, Unusable if file == "crl.pem" else Anchor | Unusable)


def changed(encoded: bytes, seed: int) -> Iterator[bytes]:
    """The same with a few bytes changed, or with an element of it emptied, left out or there twice."""
    random = Random(seed)  # noqa: S311 -- the same in each run
    for _ in range(MUTATIONS):
        if random.random() < 0.5:
            some = bytearray(encoded)
            for _ in range(random.randint(1, 3)):
                some[random.randrange(len(some))] = random.choice(
                    (0, 1, 2, 3, 0x30, 0x80, 0xA0, 0xA3, random.randrange(256))
                )
            if some != encoded:
                yield bytes(some)
        else:
            yield _with_another_element(encoded, random)


def _with_another_element(encoded: bytes, random: Random) -> bytes:
    whole = der.only(encoded)
    parts = [part.encoded for part in der.elements(whole.content)]
    at = random.randrange(len(parts))
    is_constructed = parts[at][0] & 0x20 and len(parts[at]) > 2
    choice = random.choice(["descend"] * 6 + ["empty", "leave out", "twice"]) if is_constructed else "leave out"
    if choice == "descend":
        parts[at] = _with_another_element(parts[at], random)
    else:
        parts[at : at + 1] = {"empty": [bytes([parts[at][0], 0])], "leave out": [], "twice": [parts[at]] * 2}[choice]
    return sequence(*parts, tag=whole.tag)


# A CRL of version 1 is what `openssl ca -gencrl` makes unless it is told otherwise.


def version_1(ca: TestCa, *serials: int) -> bytes:
    """A CRL without version and extensions."""
    signed, algorithm, _ = der.sequence(pem.first(ca.crl(*serials), pem.CRL))
    parts = der.elements(signed.content)
    content = sequence(*(part.encoded for part in parts if part.tag not in {der.INTEGER, 0xA0}))
    found = x509.load_pem_x509_crl(ca.crl(*serials))
    assert found.signature_hash_algorithm is not None
    signature = ca.key.sign(content, padding.PKCS1v15(), found.signature_hash_algorithm)  # type: ignore[call-arg, arg-type]
    whole = sequence(content, algorithm.encoded, sequence(b"\x00", signature, tag=der.BIT_STRING))
    return pem.text(whole, pem.CRL).encode()


def test_a_crl_of_version_1_revokes(ca: TestCa, tmp_path: Path) -> None:
    one = ca.issue()
    paths = ca.write(tmp_path)
    for serials in ((), (one.certificate.serial_number,)):
        (tmp_path / "crl.pem").write_bytes(version_1(ca, *serials))
        found = Authority(*paths, NOW.timestamp).current()
        assert isinstance(found, Anchor), found
        assert found.revoked == frozenset(serials)


@pytest.mark.parametrize(
    "make", [lambda: sequence(ONE, EMPTY, b"\x04\x00"), lambda: sequence(b"\x02\x01\x00", EMPTY, EMPTY)]
)
def test_a_damaged_key_is_named(make: Callable[[], bytes], ca: TestCa, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(pem.text(make(), "PRIVATE KEY"), encoding="ascii")
    (tmp_path / "certificate").write_bytes(ca.issue().pem)
    with pytest.raises(ConfigError, match="is damaged"):
        Signer(Pair("name", str(tmp_path / "key"), str(tmp_path / "certificate")))
