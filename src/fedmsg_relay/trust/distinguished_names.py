"""Names of certificates and CAs, as OpenSSL compares them."""

from __future__ import annotations

import re

from fedmsg_relay import der

Name = tuple[tuple[tuple[bytes, object], ...], ...]
"""A name in the form in which names are compared."""

_ENCODINGS = {
    0x0C: "utf-8",
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_NOT_UNIVERSAL = 0xC0
"""Bits of a tag that is not one of ASN.1's own."""

_WHITE = re.compile(r"[ \t\n\v\f\r]+")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def name(encoded: bytes) -> Name:
    """Read a name as OpenSSL compares it: case, white space and kinds of strings do not matter.

    Args:
        encoded: its DER.

    Returns:
        The name in a form that is equal for equal names.

    Raises:
        ValueError: it is damaged.
    """
    return tuple(
        tuple(sorted((_attribute(one) for one in der.elements(relative.content)), key=repr))
        for relative in der.sequence(encoded)
    )


def _attribute(one: der.Element) -> tuple[bytes, object]:
    identifier, value = der.sequence(one.encoded)
    if value.tag & _NOT_UNIVERSAL:
        raise ValueError("a part of the name is not a string")  # OpenSSL ends at it, and so do stock listeners
    encoding = _ENCODINGS.get(value.tag)
    if encoding is None:
        return identifier.content, value.encoded
    text = _WHITE.sub(" ", value.content.decode(encoding)).strip(" ")
    return identifier.content, text.translate(_LOWER)
