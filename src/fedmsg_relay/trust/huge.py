"""Messages of very many values, which cost too much to be read before their signer is known.

json.loads makes up to 60 bytes for each byte of such a body, and takes seconds: anybody could stop the relay with it.
A signer writes the canonical form, so the bytes that were signed are the body without two of its members; whether they
are can be told without reading anything else. A message in another form is not trusted, though stock would trust it.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from fedmsg_relay.message import SMALL_BODY

MAX_VALUES = 200_000
"""Values in a body that is read as it comes; they take some 20 MB."""


class Signed(NamedTuple):
    """A body taken apart.

    Attributes:
        content: what the signature covers, if the body is in canonical form.
        signature: the field.
        certificate: the field.
    """

    content: bytes
    signature: str
    certificate: str


def is_huge(body: bytes) -> bool:
    """Tell whether a body may have too many values: each but the first has a comma or a bracket before it."""
    return len(body) > SMALL_BODY and body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES


def take_apart(body: bytes) -> Signed | None:
    """Take a body apart that may be in canonical form.

    Args:
        body: well-formed.

    Returns:
        Its parts; None where it is in another form, or not signed.
    """
    # A quote within a string has a backslash before it, so these are keys, of which the outermost stand first and last.
    certificate = _member(body, body.find(b'"certificate":"'))
    signature = _member(body, body.rfind(b'"signature":"'))
    if certificate is None or signature is None or certificate[1] > signature[0]:
        return None
    content = body[: certificate[0]] + body[certificate[1] : signature[0]] + body[signature[1] :]
    return Signed(content, signature[2], certificate[2])


def may_break_listeners(body: bytes) -> bool:
    """Tell whether stock could take an unsigned body for a signed one, and end; the body is not read for that."""
    return not body.startswith(b"{") or any(word in body for word in (b"crypto", b"signature", b"\\u00"))


def _member(body: bytes, start: int) -> tuple[int, int, str] | None:
    """Find where a member of text begins and ends with one comma, and its value."""
    if start < 1:
        return None
    value = body.index(b'":"', start) + 3
    end = body.find(b'"', value)
    try:
        text = json.loads(body[value - 1 : end + 1].decode())
    except ValueError:
        return None
    if body[start - 1 : start] == b",":
        return start - 1, end + 1, text
    return start, end + 2 if body[end + 1 : end + 2] == b"," else end + 1, text
