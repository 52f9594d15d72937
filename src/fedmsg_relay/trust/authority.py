"""The CA and its CRL: read from their files, and read anew when these change."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

from fedmsg_relay import der, pem
from fedmsg_relay.trust import certificate
from fedmsg_relay.trust import extensions as x
from fedmsg_relay.trust.certificate import Certificate
from fedmsg_relay.trust.distinguished_names import name

LOOK_SECONDS = 1.0
"""How often the files are looked at, at most."""

RECENT_SECONDS = 2.0
"""A file that was written this long ago may be written once more without another time of change."""

WARN_SECONDS = 14 * 86400.0
"""How long before its end a CA or CRL is worth a warning."""

CaKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
DIGESTS = (hashes.SHA1, hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""With which a CA may sign certificates. MD5 is not among them."""


class Unusable(NamedTuple):
    """Why nothing can be judged. It is the relay's fault, and no sender's.

    Attributes:
        path: the file that is to blame.
        why: one line.
    """

    path: str
    why: str


class Validity(NamedTuple):
    """When a file holds good: from ``start`` until before ``end``, in seconds since the epoch."""

    path: str
    start: float
    end: float


class Anchor(NamedTuple):
    """The CA and the certificates that it has revoked: certificates of messages are held against it.

    Attributes:
        ca: the CA's certificate.
        key: its key.
        revoked: serial numbers of certificates that count no more.
        has_crl: whether a CRL says so, which may be empty.
        validities: when the files hold good.
    """

    ca: Certificate
    key: CaKey
    revoked: frozenset[int]
    has_crl: bool
    validities: tuple[Validity, ...]

    def has_signed(self, one: Certificate) -> bool:
        """Tell whether the CA's key has signed a certificate.

        Args:
            one: the certificate.
        """
        try:
            digest = one.parsed.signature_hash_algorithm
            return one.consistent and isinstance(digest, (*DIGESTS, type(None))) and self._verify(one.parsed, digest)
        except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
            return False

    def _verify(self, one: x509.Certificate, digest: hashes.HashAlgorithm | None) -> bool:
        key, signature, signed = self.key, one.signature, one.tbs_certificate_bytes
        parameters = one.signature_algorithm_parameters
        match key, parameters, digest:
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey(), None, None:
                key.verify(signature, signed)
            case ec.EllipticCurvePublicKey(), ec.ECDSA(), hashes.HashAlgorithm():
                key.verify(signature, signed, parameters)
            case dsa.DSAPublicKey(), None, hashes.HashAlgorithm():
                key.verify(signature, signed, digest)
            case rsa.RSAPublicKey(), padding.PKCS1v15() | padding.PSS(), hashes.HashAlgorithm():
                key.verify(signature, signed, parameters, digest)
            case _:
                return False
        return True


class Authority:
    """The CA and CRL of a relay.

    Args:
        ca: the CA's certificate, a file in PEM of which the first certificate counts.
        crl: the CRL, a file in PEM; empty for none.
        clock: the time in seconds since the epoch.
        ticks: seconds that no change of the clock moves.
    """

    def __init__(
        self,
        ca: str,
        crl: str = "",
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = [ca, crl] if crl else [ca]
        self._clock = clock
        self._ticks = ticks
        self._next_look = float("-inf")
        self._seen: object = None
        self._contents: list[bytes] = []
        self._loaded: Anchor | Unusable = Unusable(ca, "not read yet")

    def current(self) -> Anchor | Unusable:
        """Get what certificates are held against now.

        Returns:
            The same object until the files change; or why there is nothing.
        """
        loaded = self.loaded()
        if isinstance(loaded, Unusable):
            return loaded
        now = self._clock()
        for validity in loaded.validities:
            if now < validity.start:
                return Unusable(validity.path, "not valid yet")
            if now >= validity.end:
                return Unusable(validity.path, "expired")
        return loaded

    def loaded(self) -> Anchor | Unusable:
        """Get what the files hold, expired or not; they are looked at once a second at most."""
        now = self._ticks()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        return self._loaded

    def ends(self) -> list[Validity]:
        """List the files that end soon or have ended, for a warning."""
        loaded = self.loaded()
        validities = () if isinstance(loaded, Unusable) else loaded.validities
        return [validity for validity in validities if validity.end - self._clock() < WARN_SECONDS]

    def _look(self) -> None:
        path = self._paths[0]
        try:
            marks = []
            for path in self._paths:
                found = _state(path)
                recent = abs(self._clock() - found.st_mtime) < RECENT_SECONDS
                marks.append(None if recent else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
            if marks == self._seen and None not in marks:
                return
            contents = []
            for path in self._paths:
                contents.append(Path(path).read_bytes())
        except OSError as error:
            self._seen, self._contents = None, []
            self._loaded = Unusable(path, error.strerror or str(error))
            return
        self._seen = marks
        if contents != self._contents:
            self._contents = contents
            self._loaded = load(dict(zip(self._paths, contents, strict=True)))


def _state(path: str) -> os.stat_result:
    """Get the state of a file that can be read; to read a FIFO or a device may not end."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise OSError("not a regular file")
    return found


def load(files: dict[str, bytes]) -> Anchor | Unusable:
    """Load a CA and its CRL.

    Args:
        files: what they hold, by their paths; the CA first, and the CRL where there is one.

    Returns:
        The CA and what it has revoked, or why they cannot be used.
    """
    path = ""
    try:
        (path, ca), *crls = files.items()
        anchor = _ca(path, ca)
        for path, crl in crls:
            anchor = _crl(anchor, path, crl)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion) as error:
        return Unusable(path, str(error))
    return anchor


def _ca(path: str, data: bytes) -> Anchor:
    _require(data.isascii(), "it is not PEM: it holds more than ASCII")
    ca = certificate.read(pem.first(data, *pem.CERTIFICATES))
    x.check(ca.extensions)
    _require(ca.is_self_signed(), "it is not the certificate of a root CA")
    usage = x.key_usage(ca.extensions)
    _require(usage is None or bool(usage & x.KEY_CERT_SIGN), "its keyUsage does not permit it to sign certificates")
    _require(x.is_ca(ca.extensions), "it is not the certificate of a CA")
    _require(x.NAME_CONSTRAINTS not in ca.extensions, "it has name constraints, which are not supported")
    key = ca.parsed.public_key()
    if not isinstance(key, CaKey):
        raise ValueError("its kind of key is not supported")  # noqa: TRY004 -- not a fault of the caller
    validity = Validity(path, _seconds(ca.parsed.not_valid_before_utc), _seconds(ca.parsed.not_valid_after_utc))
    return Anchor(ca, key, frozenset(), has_crl=False, validities=(validity,))


def _crl(anchor: Anchor, path: str, data: bytes) -> Anchor:
    _require(data.isascii(), "it is not PEM: it holds more than ASCII")
    encoded = pem.first(data, pem.CRL)
    parsed = x509.load_der_x509_crl(encoded)
    signed, _, signature = der.sequence(encoded)
    der.octets(signature)  # OpenSSL refuses others
    fields = der.sequence(signed.encoded)
    if fields[0].tag == der.INTEGER:  # the version, which a CRL without extensions leaves out
        del fields[0]
    _, issuer, *_ = fields
    extensions = x.read([der.only(one.content) for one in fields if one.tag == 0xA0])
    _require(name(issuer.encoded) == anchor.ca.subject, "another CA has issued it")
    _require(anchor.ca.is_meant_by(extensions), "another key of the CA has signed it")
    _require(not any(one.critical for one in extensions.values()), "it has a critical extension")
    _require(x.ISSUING_DISTRIBUTION_POINT not in extensions, "it does not list all that the CA has revoked")
    usage = x.key_usage(anchor.ca.extensions)
    _require(usage is None or bool(usage & x.CRL_SIGN), "the CA's keyUsage does not permit it to sign CRLs")
    _require(parsed.is_signature_valid(anchor.key), "the CA has not signed it")
    revoked = frozenset(_revoked(parsed))
    _require(anchor.ca.serial not in revoked, "it revokes the CA itself")
    end = parsed.next_update_utc
    validity = Validity(path, _seconds(parsed.last_update_utc), float("inf") if end is None else _seconds(end))
    return anchor._replace(revoked=revoked, has_crl=True, validities=(*anchor.validities, validity))


def _revoked(crl: x509.CertificateRevocationList) -> list[int]:
    serials = []
    for one in crl:
        for extension in one.extensions:
            _require(not extension.critical, "an entry has a critical extension")
            if isinstance(extension.value, x509.CRLReason) and extension.value.reason is _REMOVED:
                break
        else:
            serials.append(one.serial_number)
    return serials


_REMOVED = x509.ReasonFlags.remove_from_crl


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _seconds(when: datetime) -> float:
    return when.timestamp()
