"""A certificate as OpenSSL compares it: names without regard to case, key identifiers, critical extensions.

``cryptography`` verifies; what it does not tell, or tells more strictly than OpenSSL, is read here from the DER.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from cryptography import x509

from fedmsg_relay import der
from fedmsg_relay.der import object_identifier as oid

BASIC_CONSTRAINTS = oid("2.5.29.19")
KEY_USAGE = oid("2.5.29.15")
NAME_CONSTRAINTS = oid("2.5.29.30")
SUBJECT_KEY_IDENTIFIER = oid("2.5.29.14")
AUTHORITY_KEY_IDENTIFIER = oid("2.5.29.35")
CRL_DISTRIBUTION_POINTS = oid("2.5.29.31")
PROXY = oid("1.3.6.1.5.5.7.1.14")
RESOURCES = {oid("1.3.6.1.5.5.7.1.7"), oid("1.3.6.1.5.5.7.1.8")}
"""Network addresses and numbers, of which a certificate may not have more than its CA."""

MAY_BE_CRITICAL = {
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    NAME_CONSTRAINTS,
    CRL_DISTRIBUTION_POINTS,
    PROXY,
    *RESOURCES,
    oid("2.5.29.17"),  # subjectAltName
    oid("2.5.29.32"),  # certificatePolicies
    oid("2.5.29.33"),  # policyMappings
    oid("2.5.29.36"),  # policyConstraints
    oid("2.5.29.37"),  # extKeyUsage
    oid("2.5.29.54"),  # inhibitAnyPolicy
    oid("1.3.6.1.5.5.7.48.1.5"),  # OCSP no check
    oid("2.16.840.1.113730.1.1"),  # Netscape certificate type
}
"""What OpenSSL understands: any other extension that is critical makes a certificate unusable."""

KEY_CERT_SIGN, CRL_SIGN = 0x04, 0x02
"""Bits of the first byte of a key usage."""

Name = tuple[tuple[tuple[bytes, object], ...], ...]
"""A name in the form in which names are compared."""


class Extension(NamedTuple):
    """One extension, as it stands in a certificate or a CRL."""

    critical: bool
    value: bytes


class Certificate(NamedTuple):
    """What decides whether one certificate was issued by another.

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
    extensions: Mapping[bytes, Extension]
    consistent: bool

    def is_self_signed(self) -> bool:
        """Tell whether it looks as if it had signed itself; the signature is not looked at."""
        return self.issuer == self.subject and points_to(self.extensions, self)

    def key_usage(self) -> int | None:
        """Get the first byte of its key usage; None where it has none."""
        usage = self.extensions.get(KEY_USAGE)
        return None if usage is None else bits(usage.value)

    def has_unknown_critical(self) -> bool:
        """Tell whether it has an extension that must be understood and is not."""
        return any(one.critical and name not in MAY_BE_CRITICAL for name, one in self.extensions.items())


def read(encoded: bytes) -> Certificate:
    """Read a certificate.

    Args:
        encoded: its DER.

    Returns:
        The certificate.

    Raises:
        ValueError: it is not a certificate, or a damaged one.
    """
    try:
        parsed = x509.load_der_x509_certificate(encoded)
    except (TypeError, x509.InvalidVersion) as error:
        raise ValueError(str(error)) from None
    signed, algorithm, _ = der.sequence(encoded)
    fields = der.sequence(signed.encoded)
    if fields[0].tag == 0xA0:  # the version
        del fields[0]
    serial, inner, issuer, _, subject, _, *optional = fields
    return Certificate(
        parsed,
        encoded,
        der.integer(serial),
        name(issuer.encoded),
        name(subject.encoded),
        extensions([der.elements(one.content)[0] for one in optional if one.tag == 0xA3]),
        inner.encoded == algorithm.encoded,
    )


def extensions(found: list[der.Element]) -> dict[bytes, Extension]:
    """Read a list of extensions.

    Args:
        found: the sequence that they stand in, or nothing.

    Returns:
        The extensions by their identifiers.

    Raises:
        ValueError: they are damaged, or one is there twice.
    """
    read_so_far: dict[bytes, Extension] = {}
    for one in der.elements(found[0].content) if found else ():
        identifier, *critical, value = der.sequence(one.encoded)
        if identifier.content in read_so_far or value.tag != der.OCTET_STRING:
            raise ValueError("an extension is damaged or there twice")
        read_so_far[identifier.content] = Extension(bool(critical) and critical[0].content != b"\0", value.content)
    return read_so_far


def bits(value: bytes) -> int:
    """Get the first byte of a string of bits.

    Args:
        value: its DER.

    Raises:
        ValueError: it is something else.
    """
    (string,) = der.elements(value)
    if string.tag != der.BIT_STRING:
        raise ValueError("it is not a string of bits")
    return string.content[1] if len(string.content) > 1 else 0


def points_to(extensions: Mapping[bytes, Extension], issuer: Certificate) -> bool:
    """Tell whether an authority key identifier, where there is one, is that of an issuer.

    Args:
        extensions: of what was issued.
        issuer: who may have issued it.

    Raises:
        ValueError: the identifier is damaged.
    """
    extension = extensions.get(AUTHORITY_KEY_IDENTIFIER)
    if extension is None:
        return True
    own = issuer.extensions.get(SUBJECT_KEY_IDENTIFIER)
    for part in der.sequence(extension.value):
        if part.tag == 0x80 and own is not None and der.elements(own.value)[0].content != part.content:
            return False
        if part.tag == 0x82 and int.from_bytes(part.content, "big", signed=True) != issuer.serial:
            return False
        if part.tag == 0xA1:
            names = [one.content for one in der.elements(part.content) if one.tag == 0xA4]
            if names and name(names[0]) != issuer.issuer:
                return False
    return True


_ENCODINGS = {
    0x0C: "utf-8",
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_WHITE = re.compile(r"[ \t\n\v\f\r]+")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def name(encoded: bytes) -> Name:
    """Read a name as OpenSSL compares it: case, white space and kinds of strings do not matter.

    Args:
        encoded: its DER.

    Raises:
        ValueError: it is damaged.
    """
    return tuple(
        tuple(sorted((_attribute(one) for one in der.elements(relative.content)), key=repr))
        for relative in der.sequence(encoded)
    )


def _attribute(one: der.Element) -> tuple[bytes, object]:
    identifier, value = der.sequence(one.encoded)
    encoding = _ENCODINGS.get(value.tag)
    if encoding is None:
        return identifier.content, value.encoded
    text = _WHITE.sub(" ", value.content.decode(encoding)).strip(" ")
    return identifier.content, text.translate(_LOWER)
