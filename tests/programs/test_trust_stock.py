"""Verdicts against stock itself, on certificates, CAs and CRLs that the tests make up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from certificates import DAY, IS_CA, NOW, TOPIC, Extension, Pair, TestCa, envelope, name, rsa_key, usage
from fedmsg_relay import der, pem
from fedmsg_relay.trust.authority import Authority
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge, Verdict
from stock_trust import StockTrust


@pytest.fixture(scope="module")
def stock() -> Iterator[StockTrust]:
    with contextlib.closing(StockTrust()) as stock:
        yield stock


class Bench:
    """Asks both for their verdict on the same files and the same message."""

    def __init__(self, stock: StockTrust, directory: Path) -> None:
        self._stock = stock
        self._directory = directory
        self._asked = 0

    def both(self, body: bytes, ca: bytes, crl: bytes | None) -> tuple[bool | str, Verdict]:
        """Stock's verdict, and ours."""
        self._asked += 1  # stock remembers files by their names
        ca_file, crl_file = (self._directory / f"{self._asked}.{suffix}" for suffix in ("crt", "pem"))
        ca_file.write_bytes(ca)
        crl_file.write_bytes(crl or b"")
        paths = str(ca_file), "" if crl is None else str(crl_file)
        judge = Judge(Authority(*paths), Policy({}))
        return self._stock.validate(body.decode(), *paths), judge.judge(TOPIC.encode(), body)

    def agree(self, body: bytes, ca: bytes, crl: bytes | None) -> None:
        theirs, ours = self.both(body, ca, crl)
        assert (theirs is True) == (ours.reason is None), (theirs, ours)


@pytest.fixture
def bench(stock: StockTrust, tmp_path: Path) -> Bench:
    return Bench(stock, tmp_path)


CA = TestCa()
OTHER = TestCa(key=rsa_key(9))
SERIAL = CA.certificate.serial_number
OWN_KEY = x509.SubjectKeyIdentifier.from_public_key(rsa_key(1).public_key())
URI = [x509.UniformResourceIdentifier("http://x/")]
SOME_REASONS = frozenset([x509.ReasonFlags.key_compromise])


def raw(dotted: str, value: str, *, critical: bool = False) -> Extension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), bytes.fromhex(value)), critical


def points_to(key: bytes | None = None, issuer: x509.Name | None = None, serial: int | None = None) -> Extension:
    names = None if issuer is None else [x509.DirectoryName(issuer)]
    return x509.AuthorityKeyIdentifier(key, names, serial), False


def points(*reasons: frozenset[x509.ReasonFlags] | None, issuer: x509.Name | None = None) -> Extension:
    issuers = None if issuer is None else [x509.DirectoryName(issuer)]
    return x509.CRLDistributionPoints([x509.DistributionPoint(URI, None, some, issuers) for some in reasons]), False


OURS = points_to(CA.identifier.digest)
EXTENSIONS: dict[str, Sequence[Extension]] = {
    "none": [],
    "key identifier": [OURS],
    "another key identifier": [points_to(b"another")],
    "issuer and serial": [points_to(None, CA.subject, SERIAL)],
    "issuer in another case": [points_to(None, name("ca", organization="  tEST"), SERIAL)],
    "another issuer": [points_to(None, name("other"), SERIAL)],
    "another serial": [points_to(None, CA.subject, 5)],
    "damaged key identifier": [raw("2.5.29.35", "0500")],
    "empty key identifier": [raw("2.5.29.35", "3000")],
    "a CA": [IS_CA],
    "explicitly no CA": [raw("2.5.29.19", "3003010100", critical=True)],
    "a path length and no CA": [raw("2.5.29.19", "3003020100", critical=True)],
    "a negative path length": [raw("2.5.29.19", "30030201ff")],
    "damaged constraints": [raw("2.5.29.19", "0500")],
    "key usage": [(usage("digital_signature"), True)],
    "another key usage": [(usage("key_agreement"), True)],
    "no key usage": [raw("2.5.29.15", "03020700", critical=True)],
    "key usage of two bytes": [raw("2.5.29.15", "0303070080", critical=True)],
    "damaged key usage": [raw("2.5.29.15", "0500")],
    "for servers only": [(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), True)],
    "damaged extended key usage": [raw("2.5.29.37", "0500")],
    "alternative name": [(x509.SubjectAlternativeName([x509.DNSName("a.b")]), True)],
    "odd alternative name": [raw("2.5.29.17", "30058703010203")],
    "damaged alternative name": [raw("2.5.29.17", "0500")],
    "name constraints": [(x509.NameConstraints([x509.DNSName("a")], None), True)],
    "damaged name constraints": [raw("2.5.29.30", "0500")],
    "damaged policies": [raw("2.5.29.32", "0500")],
    "a proxy": [raw("1.3.6.1.5.5.7.1.14", "300c300a06082b06010505071501")],
    "networks": [raw("1.3.6.1.5.5.7.1.7", "300c300a04020001300403020300")],
    "Netscape type": [raw("2.16.840.1.113730.1.1", "03020780", critical=True)],
    "damaged Netscape type": [raw("2.16.840.1.113730.1.1", "0500")],
    "Netscape comment": [raw("2.16.840.1.113730.1.13", "1603616263")],
    "critical comment": [raw("2.16.840.1.113730.1.13", "1603616263", critical=True)],
    "damaged access": [raw("1.3.6.1.5.5.7.1.1", "0500")],
    "unknown": [raw("1.2.3.4", "0500")],
    "unknown and critical": [raw("1.2.3.4", "0500", critical=True)],
    "distribution point": [points(None)],
    "distribution point for some reasons": [points(SOME_REASONS)],
    "two distribution points": [points(None, SOME_REASONS)],
    "two distribution points, some reasons first": [points(SOME_REASONS, None)],
    "distribution point of another": [points(SOME_REASONS, issuer=name("other"))],
    "distribution point of ours": [points(SOME_REASONS, issuer=CA.subject)],
    "damaged distribution points": [raw("2.5.29.31", "0500")],
}


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_extensions_of_a_certificate_are_taken_as_stock_takes_them(kind: str, bench: Bench) -> None:
    body = CA.issue(extensions=EXTENSIONS[kind]).sign(envelope())
    bench.agree(body, CA.pem, CA.crl())
    bench.agree(body, CA.pem, None)


def kinds(organization: tuple[str, Any], common_name: tuple[str, Any]) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, *organization), (NameOID.COMMON_NAME, *common_name))
    return x509.Name([x509.NameAttribute(*part) for part in parts])


STRING = type(next(iter(CA.subject))._type)  # which the library does not show otherwise
SHA256, SHA384 = (der.object_identifier(f"1.2.840.113549.1.1.{number}") for number in (11, 12))
SIGNERS: dict[str, Callable[[], Pair]] = {
    "of another CA of the same name": OTHER.issue,
    "revoked": lambda: CA.issue(serial=55),
    "expired": lambda: CA.issue(end=NOW - DAY / 2),
    "of tomorrow": lambda: CA.issue(start=NOW + DAY / 2),
    "PSS": lambda: CA.issue(pss=True),
    "issuer in other letters": lambda: CA.issue(issuer=name("cA", organization=" tEST ")),
    "issuer in another order": lambda: CA.issue(issuer=x509.Name([*reversed([*CA.subject])])),
    "issuer in other strings": lambda: CA.issue(
        issuer=kinds(("Test", STRING.BMPString), ("CA", STRING.PrintableString))
    ),
    "the CA's name": lambda: CA.issue(subject=CA.subject),
    "the CA's name, pointing to the CA": lambda: CA.issue(subject=CA.subject, extensions=[(OWN_KEY, False), OURS]),
    "self-signed": lambda: CA.issue(issuer=name("signer"), by=rsa_key(1)),
    "self-signed in the CA's name": lambda: CA.issue(by=rsa_key(1), subject=CA.subject),
    "the CA itself": lambda: Pair(CA.certificate, CA.key),
    "the CA's key": lambda: CA.issue(key=CA.key),
    "the CA's serial": lambda: CA.issue(serial=SERIAL),
    "no CN": lambda: CA.issue(None),
    "CN in another string": lambda: CA.issue(subject=kinds(("é", None), ("é", STRING.BMPString))),
}


@pytest.mark.parametrize("kind", SIGNERS)
def test_signers_are_taken_as_stock_takes_them(kind: str, bench: Bench) -> None:
    bench.agree(SIGNERS[kind]().sign(envelope()), CA.pem, CA.crl(55))


def test_a_key_that_is_not_rsa_is_not_taken(bench: Bench) -> None:
    field = CA.issue(key=ec.generate_private_key(ec.SECP256R1())).pem
    bench.agree(CA.issue().sign(envelope(), field), CA.pem, CA.crl())


def test_a_certificate_that_names_two_algorithms_is_not_taken(bench: Bench) -> None:
    pair, key = CA.issue(), CA.key
    assert isinstance(key, rsa.RSAPrivateKey)
    signed, outer, _ = der.sequence(pair.certificate.public_bytes(serialization.Encoding.DER))
    inner = outer.encoded.replace(SHA256, SHA384)
    content = signed.encoded.replace(outer.encoded, inner, 1)
    signature = key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    parts = content + outer.encoded + b"\3\x82" + (len(signature) + 1).to_bytes(2, "big") + b"\0" + signature
    field = pem.text(b"\x30\x82" + len(parts).to_bytes(2, "big") + parts, pem.CERTIFICATE).encode()
    theirs, ours = bench.both(pair.sign(envelope(), field), CA.pem, CA.crl())
    assert (theirs, ours.reason) == (False, Reason.CERTIFICATE_UNTRUSTED)


NOT_CA: Extension = (x509.BasicConstraints(ca=False, path_length=None), True)
MAY_SIGN: Extension = (usage("key_cert_sign"), True)
MAY_SIGN_BOTH: Extension = (usage("key_cert_sign", "crl_sign"), True)
MAY_SIGN_CRLS: Extension = (usage("crl_sign"), True)
SUBJECT_KEY: Extension = (CA.identifier, False)
CAS: dict[str, Callable[[], TestCa]] = {
    "as it should be": lambda: CA,
    "no extensions": lambda: TestCa([]),
    "constraints alone": lambda: TestCa([IS_CA]),
    "no CA": lambda: TestCa([NOT_CA]),
    "path length 0": lambda: TestCa([(x509.BasicConstraints(ca=True, path_length=0), True)]),
    "key usage alone": lambda: TestCa([MAY_SIGN_BOTH]),
    "may sign certificates alone": lambda: TestCa([IS_CA, MAY_SIGN]),
    "may sign CRLs alone": lambda: TestCa([IS_CA, MAY_SIGN_CRLS]),
    "unknown and critical": lambda: TestCa([IS_CA, raw("1.2.3.4", "0500", critical=True)]),
    "damaged alternative name": lambda: TestCa([IS_CA, raw("2.5.29.17", "0500")]),
    "points to itself": lambda: TestCa([IS_CA, SUBJECT_KEY, OURS]),
    "points to another": lambda: TestCa([IS_CA, SUBJECT_KEY, points_to(b"another")]),
    "intermediate": lambda: TestCa(issuer=name("root")),
    "issuer in other letters": lambda: TestCa(issuer=name("ca", organization="tEST")),
    "expired": lambda: TestCa(start=NOW - 2 * DAY, end=NOW - DAY),
    "of tomorrow": lambda: TestCa(start=NOW + DAY),
    "EC": lambda: TestCa([IS_CA], key=ec.generate_private_key(ec.SECP256R1())),
}


@pytest.mark.parametrize("kind", CAS)
def test_cas_are_taken_as_stock_takes_them(kind: str, bench: Bench) -> None:
    ca = CAS[kind]()
    body = ca.issue().sign(envelope())
    bench.agree(body, ca.pem, ca.crl())
    bench.agree(body, ca.pem, None)


FILES: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "text around it": lambda pem: b"text\n" + pem + b"text",
    "another first": lambda pem: b"-----BEGIN X-----\nAAAA\n-----END X-----\n" + pem,
    "a damaged one after it": lambda pem: pem + b"-----BEGIN CERTIFICATE-----\nx\n",
    "not ASCII": lambda pem: "é\n".encode() + pem,
    "no newline": bytes.rstrip,
    "indented": lambda pem: b" " + pem,
    "lines indented": lambda pem: pem.replace(b"\nM", b"\n M"),
    "one line": lambda pem: b"\n".join([pem.splitlines()[0], b"".join(pem.splitlines()[1:-1]), pem.splitlines()[-1]]),
    "nothing in it": lambda _: b" ",
}


@pytest.mark.parametrize("kind", FILES)
def test_files_are_read_as_stock_reads_them(kind: str, bench: Bench) -> None:
    body = CA.issue().sign(envelope())
    bench.agree(body, FILES[kind](CA.pem), CA.crl())
    bench.agree(body, CA.pem, FILES[kind](CA.crl()))


CRLS: dict[str, Callable[[], bytes]] = {
    "expired": lambda: CA.crl(start=NOW - 2 * DAY, end=NOW - DAY),
    "of tomorrow": lambda: CA.crl(start=NOW + DAY),
    "numbered": lambda: CA.crl(extensions=[(x509.CRLNumber(1), False)]),
    "key identifier": lambda: CA.crl(extensions=[OURS]),
    "another key identifier": lambda: CA.crl(extensions=[points_to(b"another")]),
    "unknown": lambda: CA.crl(extensions=[raw("1.2.3.4", "0500")]),
    "unknown and critical": lambda: CA.crl(extensions=[raw("1.2.3.4", "0500", critical=True)]),
    "signed by another": lambda: CA.crl(by=rsa_key(9)),
    "of another CA": lambda: TestCa(subject=name("B")).crl(),
    "the CA on it": lambda: CA.crl(SERIAL),
    "the CA taken from it": lambda: CA.crl(SERIAL, reason=x509.ReasonFlags.remove_from_crl),
    "the signer on it": lambda: CA.crl(55),
    "the signer on it twice": lambda: CA.crl(55, 55),
    "the signer on hold": lambda: CA.crl(55, reason=x509.ReasonFlags.certificate_hold),
    "the signer taken from it": lambda: CA.crl(55, reason=x509.ReasonFlags.remove_from_crl),
    "a newer one after it": lambda: CA.crl(55) + CA.crl(),
    "an older one before it": lambda: CA.crl() + CA.crl(55),
}


@pytest.mark.parametrize("kind", CRLS)
def test_crls_are_taken_as_stock_takes_them(kind: str, bench: Bench) -> None:
    bench.agree(CA.issue(serial=55).sign(envelope()), CA.pem, CRLS[kind]())
