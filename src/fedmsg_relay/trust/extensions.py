"""Extensions of certificates and CRLs, as far as OpenSSL looks at them.

The reader of ``cryptography`` refuses more than OpenSSL does, such as ``CA:FALSE, pathlen:0``, which is in many
templates; so what decides is read here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fedmsg_relay import der
from fedmsg_relay.der import object_identifier as oid
from fedmsg_relay.trust.distinguished_names import Name, name

BASIC_CONSTRAINTS = oid("2.5.29.19")
KEY_USAGE = oid("2.5.29.15")
EXTENDED_KEY_USAGE = oid("2.5.29.37")
ALTERNATIVE_NAME = oid("2.5.29.17")
NAME_CONSTRAINTS = oid("2.5.29.30")
SUBJECT_KEY_IDENTIFIER = oid("2.5.29.14")
AUTHORITY_KEY_IDENTIFIER = oid("2.5.29.35")
CRL_DISTRIBUTION_POINTS = oid("2.5.29.31")
ISSUING_DISTRIBUTION_POINT = oid("2.5.29.28")
NETSCAPE_TYPE = oid("2.16.840.1.113730.1.1")
PROXY = oid("1.3.6.1.5.5.7.1.14")
RESOURCES = {oid("1.3.6.1.5.5.7.1.7"), oid("1.3.6.1.5.5.7.1.8")}
"""Network addresses and numbers, of which a certificate may not have more than its CA."""

MAY_BE_CRITICAL = {
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    EXTENDED_KEY_USAGE,
    ALTERNATIVE_NAME,
    NAME_CONSTRAINTS,
    CRL_DISTRIBUTION_POINTS,
    NETSCAPE_TYPE,
    PROXY,
    *RESOURCES,
    oid("2.5.29.32"),  # certificatePolicies
    oid("2.5.29.33"),  # policyMappings
    oid("2.5.29.36"),  # policyConstraints
    oid("2.5.29.54"),  # inhibitAnyPolicy
    oid("1.3.6.1.5.5.7.48.1.5"),  # OCSP no check
}
"""What OpenSSL understands: any other extension that is critical makes a certificate unusable."""

KEY_CERT_SIGN, CRL_SIGN = 0x0400, 0x0200
"""Bits of a key usage."""

_ALL_REASONS = 0x7F80


class Extension(NamedTuple):
    """One extension, as it stands in a certificate or a CRL."""

    critical: bool
    value: bytes


Extensions = Mapping[bytes, Extension]
"""Extensions by their identifiers."""


def read(found: list[der.Element]) -> dict[bytes, Extension]:
    """Read a list of extensions.

    Args:
        found: the sequence that they stand in, or nothing.

    Returns:
        The extensions by their identifiers.

    Raises:
        ValueError: they are damaged, or one is there twice.
    """
    extensions: dict[bytes, Extension] = {}
    for one in der.elements(found[0].content) if found else ():
        identifier, *critical, value = der.sequence(one.encoded)
        if identifier.content in extensions or value.tag != der.OCTET_STRING:
            raise ValueError("an extension is damaged or there twice")
        extensions[identifier.content] = Extension(bool(critical) and critical[0].content != b"\0", value.content)
    return extensions


def check(extensions: Extensions) -> None:
    """Refuse what OpenSSL refuses in any certificate: an extension of its own that is damaged, or an unknown critical.

    Args:
        extensions: of the certificate.

    Raises:
        ValueError: it is to be refused.
    """
    for identifier, extension in extensions.items():
        if extension.critical and identifier not in MAY_BE_CRITICAL:
            raise ValueError("it has a critical extension that is not known")
        if identifier in _SHAPES:
            _SHAPES[identifier](_whole(extension.value))
    if PROXY in extensions:
        raise ValueError("it is the certificate of a proxy")


def is_ca(extensions: Extensions) -> bool:
    """Tell whether a certificate is that of a CA, by its constraints or else its key usage."""
    constraints = extensions.get(BASIC_CONSTRAINTS)
    if constraints is None:
        return key_usage(extensions) is not None
    found = der.elements(_whole(constraints.value).content)
    return bool(found) and found[0].tag == der.BOOLEAN and found[0].content != b"\0"


def key_usage(extensions: Extensions) -> int | None:
    """Get the bits of a key usage; None where there is none."""
    usage = extensions.get(KEY_USAGE)
    return None if usage is None else _bits(_whole(usage.value))


def points_to(extensions: Extensions, own: Extensions, serial: int, issuer: Name) -> bool:
    """Tell whether an authority key identifier, where there is one, is that of an issuer.

    Args:
        extensions: of what was issued.
        own: the extensions of the possible issuer.
        serial: the serial number of the issuer.
        issuer: the issuer of the issuer.

    Raises:
        ValueError: the identifier is damaged.
    """
    extension, subject_key = extensions.get(AUTHORITY_KEY_IDENTIFIER), own.get(SUBJECT_KEY_IDENTIFIER)
    if extension is None:
        return True
    for part in der.elements(_whole(extension.value).content):
        if part.tag == 0x80 and subject_key is not None and _whole(subject_key.value).content != part.content:
            return False
        if part.tag == 0x82 and int.from_bytes(part.content, "big", signed=True) != serial:
            return False
        names = [one for one in der.elements(part.content) if one.tag == 0xA4] if part.tag == 0xA1 else []
        if names and name(names[0].content) != issuer:
            return False
    return True


def is_covered(extensions: Extensions, crl_issuer: Name) -> bool:
    """Tell whether a CRL for all reasons is one that a certificate asks for.

    Args:
        extensions: of the certificate.
        crl_issuer: the issuer of the CRL.

    Raises:
        ValueError: the distribution points are damaged.
    """
    extension = extensions.get(CRL_DISTRIBUTION_POINTS)
    for point in der.elements(_whole(extension.value).content) if extension else ():
        parts = {part.tag: part for part in der.elements(point.content)}
        issuers = der.elements(parts[0xA2].content) if 0xA2 in parts else ()
        if 0xA2 not in parts or any(one.tag == 0xA4 and name(one.content) == crl_issuer for one in issuers):
            return 0x81 not in parts or _bits_of(parts[0x81].content) & _ALL_REASONS == _ALL_REASONS
    return True


def _whole(value: bytes) -> der.Element:
    found = der.elements(value)
    if not found:
        raise ValueError("an extension is empty")
    return found[0]


def _require(condition: object) -> None:
    if not condition:
        raise ValueError("an extension is damaged")


def _bits(element: der.Element) -> int:
    _require(element.tag == der.BIT_STRING)
    return _bits_of(element.content)


def _bits_of(content: bytes) -> int:
    """Get the first sixteen bits."""
    return int.from_bytes(content[1:3].ljust(2, b"\0"), "big")


def _constraints(element: der.Element) -> None:
    _require(element.tag == der.SEQUENCE)
    parts = der.elements(element.content)
    _require([part.tag for part in parts] in ([], [der.BOOLEAN], [der.INTEGER], [der.BOOLEAN, der.INTEGER]))
    _require(not parts or parts[-1].tag != der.INTEGER or der.integer(parts[-1]) >= 0)


def _usage(element: der.Element) -> None:
    _require(_bits(element))


def _identifiers(element: der.Element) -> None:
    _require(element.tag == der.SEQUENCE)
    _require(all(one.tag == der.OBJECT_IDENTIFIER for one in der.elements(element.content)))


def _octets(element: der.Element) -> None:
    _require(element.tag == der.OCTET_STRING)


_GENERAL_NAMES = {0xA0, 0x81, 0x82, 0xA3, 0xA4, 0xA5, 0x86, 0x87, 0x88}


def _names(element: der.Element) -> None:
    _require(element.tag == der.SEQUENCE)
    _general_names(element.content)


def _general_names(content: bytes) -> None:
    for one in der.elements(content):
        _require(one.tag in _GENERAL_NAMES)
        if one.tag == 0xA4:
            name(one.content)


def _parts(tags: set[int]) -> Callable[[der.Element], None]:
    def check_parts(element: der.Element) -> None:
        _require(element.tag == der.SEQUENCE)
        for part in der.elements(element.content):
            _require(part.tag in tags)

    return check_parts


def _distribution_points(element: der.Element) -> None:
    _require(element.tag == der.SEQUENCE)
    for point in der.elements(element.content):
        _parts({0xA0, 0x81, 0xA2})(point)
        for part in der.elements(point.content):
            if part.tag == 0xA2:
                _general_names(part.content)


_SHAPES: Mapping[bytes, Callable[[der.Element], object]] = {
    BASIC_CONSTRAINTS: _constraints,
    KEY_USAGE: _usage,
    EXTENDED_KEY_USAGE: _identifiers,
    ALTERNATIVE_NAME: _names,
    NAME_CONSTRAINTS: _parts({0xA0, 0xA1}),
    SUBJECT_KEY_IDENTIFIER: _octets,
    AUTHORITY_KEY_IDENTIFIER: _parts({0x80, 0xA1, 0x82}),
    CRL_DISTRIBUTION_POINTS: _distribution_points,
    NETSCAPE_TYPE: _bits,
}
"""What OpenSSL decodes in every certificate; damage in one of these makes the certificate unusable."""
