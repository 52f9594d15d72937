"""The certificates that come with messages: each is held against the CA once, and remembered."""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from fedmsg_relay import pem
from fedmsg_relay.trust import certificate
from fedmsg_relay.trust import extensions as x
from fedmsg_relay.trust.authority import Anchor
from fedmsg_relay.trust.certificate import Certificate
from fedmsg_relay.trust.reasons import Reason

CACHED = 4096
"""Certificates that are remembered, trusted or not."""

MAX_TEXT = 16 * 1024
"""Maximum number of characters of a certificate's text; with a key of 4096 bits it has some 3500."""


class Signer(NamedTuple):
    """The signer that a certificate names, and whether it is trusted.

    Attributes:
        reason: why it is not trusted, or None.
        name: its CN; empty where it cannot be read.
        key: its key; None where it is not trusted.
        start: from when it is valid, in seconds since the epoch.
        end: until when.
    """

    reason: Reason | None
    name: str = ""
    key: RSAPublicKey | None = None
    start: float = 0.0
    end: float = 0.0


_MALFORMED = Signer(Reason.CERTIFICATE_MALFORMED)


class Signers:
    """A cache of certificates, least recently used goes first."""

    def __init__(self) -> None:
        self._anchor: Anchor | None = None
        self._known: OrderedDict[bytes, Signer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, text: str, anchor: Anchor) -> Signer:
        """Judge a certificate.

        Args:
            text: the field of the message, in base64.
            anchor: what it is held against. Another one than the last makes all that is remembered void.

        Returns:
            The signer; whether the certificate has expired is not in it.
        """
        if anchor is not self._anchor:
            self._anchor = anchor
            self._known.clear()
        if len(text) > MAX_TEXT:
            return _MALFORMED
        place = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(place)
        if known is not None:
            self._known.move_to_end(place)
            return known
        known = self._known[place] = judge(text, anchor)
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return known


def claimed(text: str) -> str | None:
    """Get the name of a signer from its certificate; for that no CA is needed, and so anybody may claim it.

    Args:
        text: the field of the message, in base64.

    Returns:
        The CN; None where the certificate cannot be read.
    """
    found = _read(text) if len(text) <= MAX_TEXT else None
    return None if found is None else found[1]


def judge(text: str, anchor: Anchor) -> Signer:
    """Judge a certificate, without remembering it.

    Args:
        text: the field of the message, in base64.
        anchor: what it is held against.

    Returns:
        The signer.
    """
    found = _read(text)
    if found is None:
        return _MALFORMED
    one, name, key = found
    if not _is_issued(one, anchor):
        return Signer(Reason.CERTIFICATE_UNTRUSTED, name)
    if one.serial in anchor.revoked:
        return Signer(Reason.CERTIFICATE_REVOKED, name)
    start, end = one.parsed.not_valid_before_utc, one.parsed.not_valid_after_utc
    return Signer(None, name, key, start.timestamp(), end.timestamp())


def _read(text: str) -> tuple[Certificate, str, RSAPublicKey] | None:
    try:
        one = certificate.read(pem.only(base64.b64decode(text), pem.CERTIFICATE))
        names = one.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        key = one.parsed.public_key()
        is_rsa = one.parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not names or not isinstance(names[0].value, str) or not isinstance(key, RSAPublicKey) or not is_rsa:
        return None
    return one, names[0].value, key


def _is_issued(one: Certificate, anchor: Anchor) -> bool:
    """Tell whether OpenSSL would call a certificate issued by the CA; its dates are not looked at."""
    if one.encoded == anchor.ca.encoded:
        return True
    try:
        # The signature comes first: what the CA has not signed may be made to cost time.
        if one.issuer != anchor.ca.subject or not anchor.has_signed(one):
            return False
        x.check(one.extensions)
        return (
            not one.is_self_signed()
            and anchor.ca.is_meant_by(one.extensions)
            and not x.RESOURCES & one.extensions.keys()
            and (not anchor.has_crl or x.is_covered(one.extensions, anchor.ca.subject))
        )
    except ValueError:
        return False
