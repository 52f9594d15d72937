"""Certificates of every kind, right and wrong, and messages signed with their keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from fedmsg_relay.canonical import canonical

TOPIC = "org.fedoraproject.dev.logger.log"
PEM = serialization.Encoding.PEM
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Extension = tuple[x509.ExtensionType, bool]


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """The key with this number; keys are made once a process, for making one takes long."""
    return rsa.generate_private_key(65537, 1024 if number else 2048)


def name(common_name: str | None, *, organization: str = "Test") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name(parts + ([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []))


def make(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    by: Key,
    extensions: Sequence[Extension] = (),
    *,
    start: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
    serial: int = 0,
    pss: bool = False,
) -> x509.Certificate:
    """Make a certificate of `key`, signed by the key `by`."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.not_valid_before(start).not_valid_after(end).serial_number(serial or x509.random_serial_number())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
    return builder.sign(by, digest(by), rsa_padding=scheme)


def digest(key: Key) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def usage(*granted: str) -> x509.KeyUsage:
    every = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    return x509.KeyUsage(**{bit: bit in granted for bit in f"{every} crl_sign encipher_only decipher_only".split()})


IS_CA: Extension = (x509.BasicConstraints(ca=True, path_length=None), True)


class TestCa:
    """A CA; what is left out of it is as script/ca has it."""

    __test__ = False

    def __init__(
        self,
        extensions: Sequence[Extension] | None = None,
        *,
        subject: x509.Name | None = None,
        issuer: x509.Name | None = None,
        key: Key | None = None,
        start: datetime = NOW - DAY,
        end: datetime = NOW + 100 * DAY,
    ) -> None:
        self.key = key or rsa_key()
        self.identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        if extensions is None:
            extensions = [IS_CA, (usage("key_cert_sign", "crl_sign"), True), (self.identifier, False)]
        self.subject = subject or name("CA")
        self.certificate = make(
            self.subject, issuer or self.subject, self.key, self.key, extensions, start=start, end=end
        )

    def issue(self, common_name: str | None = "signer", number: int = 1, **options: Any) -> Pair:
        """A signer's certificate; with the options of `make`."""
        key = options.pop("key", None) or rsa_key(number)
        subject = options.pop("subject", None) or name(common_name)
        made = make(subject, options.pop("issuer", self.subject), key, options.pop("by", self.key), **options)
        return Pair(made, key)

    def crl(
        self,
        *serials: int,
        start: datetime = NOW - DAY,
        end: datetime = NOW + 100 * DAY,
        extensions: Sequence[Extension] = (),
        reason: x509.ReasonFlags | None = None,
        by: Key | None = None,
    ) -> bytes:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject).last_update(start).next_update(end)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY)
            if reason:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(by or self.key, digest(by or self.key)).public_bytes(PEM)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def write(self, directory: Path, *revoked: int) -> tuple[str, str]:
        """Write both files; get their paths."""
        ca, crl = directory / "ca.crt", directory / "crl.pem"
        ca.write_bytes(self.pem)
        crl.write_bytes(self.crl(*revoked))
        return str(ca), str(crl)


class Pair:
    """A certificate and its key."""

    def __init__(self, certificate: x509.Certificate, key: Key) -> None:
        self.certificate = certificate
        self.key = key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def sign(self, message: Mapping[str, Any], certificate: bytes | None = None) -> bytes:
        """Sign as stock does; the field may hold another text than the certificate's."""
        content = {**message, "crypto": "x509"}
        assert isinstance(self.key, rsa.RSAPrivateKey)
        signature = self.key.sign(canonical(content), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 -- stock's
        return credentials(content, signature, self.pem if certificate is None else certificate)


def credentials(content: Mapping[str, Any], signature: bytes, certificate: bytes) -> bytes:
    fields = {"signature": signature, "certificate": certificate}
    return canonical({**content, **{field: base64.encodebytes(value).decode() for field, value in fields.items()}})


def envelope(msg: Any = None, topic: Any = TOPIC) -> dict[str, Any]:
    return {
        "topic": topic,
        "msg": {"log": "hello"} if msg is None else msg,
        "timestamp": 1763900000,
        "msg_id": "2026-2f0d5a0e-6d3c-4e0e-9a57-1f0f8d1f6a11",
        "i": 1,
        "username": "nobody",
    }


def changed(body: bytes, **fields: Any) -> bytes:
    """A body with other values in some fields; one of None is taken away."""
    message = {**json.loads(body), **fields}
    return json.dumps({key: value for key, value in message.items() if value is not None}).encode()
