"""A certificate, and whether one may have issued another."""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509

from fedmsg_relay import der
from fedmsg_relay.trust import extensions as x
from fedmsg_relay.trust.distinguished_names import Name, name

MAX_PARTS = 64
"""Maximum number of extensions of a certificate, and of parts of each of its names: each takes time to read, and the
certificate comes from a sender that is not known yet."""


class Certificate(NamedTuple):
    """The parts of a certificate that decide whether another one issued it.

    Attributes:
        parsed: by ``cryptography``.
        encoded: its DER.
        serial: its serial number.
        issuer: its issuer's name.
        subject: its own name.
        extensions: by their identifiers.
        consistent: whether it names the same algorithm inside its signed part and beside its signature.
    """

    parsed: x509.Certificate
    encoded: bytes
    serial: int
    issuer: Name
    subject: Name
    extensions: x.Extensions
    consistent: bool

    def is_self_signed(self) -> bool:
        """Tell whether it looks as if it had signed itself; the signature is not looked at."""
        return self.issuer == self.subject and self.is_meant_by(self.extensions)

    def is_meant_by(self, extensions: x.Extensions) -> bool:
        """Tell whether the extensions of a certificate or CRL point to this one as its issuer."""
        return x.points_to(extensions, self.extensions, self.serial, self.issuer)


def read(encoded: bytes) -> Certificate:
    """Read a certificate.

    Args:
        encoded: its DER.

    Returns:
        The certificate.

    Raises:
        ValueError: it is not a certificate, or a damaged one, or one of too many parts.
    """
    signed, algorithm, signature = der.sequence(encoded)
    der.octets(signature)  # OpenSSL refuses others
    fields = der.sequence(signed.encoded)
    if fields and fields[0].tag == 0xA0:  # the version
        del fields[0]
    serial, inner, issuer, _, subject, _, *optional = fields
    extensions = [der.only(one.content) for one in optional if one.tag == 0xA3]
    if any(len(der.elements(one.content)) > MAX_PARTS for one in (issuer, subject, *extensions)):
        raise ValueError(f"it has a name or extensions of more than {MAX_PARTS} parts")
    try:
        parsed = x509.load_der_x509_certificate(encoded)
    except (TypeError, x509.InvalidVersion) as error:
        raise ValueError(str(error)) from None
    return Certificate(
        parsed,
        encoded,
        der.integer(serial),
        name(issuer.encoded),
        name(subject.encoded),
        x.read(extensions),
        inner.encoded == algorithm.encoded,
    )
