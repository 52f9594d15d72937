"""PEM: base64 between two lines that say what it is.

This module is on the path of every script that signs: it imports only what that needs.
"""

from __future__ import annotations

import base64
import binascii
import re

CERTIFICATE = "CERTIFICATE"
CERTIFICATES = (CERTIFICATE, "X509 CERTIFICATE")
"""Labels under which a file may hold a certificate; the second is an old one."""
CRL = "X509 CRL"

_BEGIN = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t\r\v\f]*\n", re.MULTILINE)
_END = rb")+)-----END (?P<label>[A-Z0-9 ]+)-----[ \t\r\v\f]*(?:\n|\Z)"
_BLOCK = re.compile(rb"(?P<blank>[ \t\r\v\f]*\n)?(?P<lines>(?:[A-Za-z0-9+/=]+[ \t\r\v\f]*\n" + _END)
_LOOSE_BLOCK = re.compile(
    rb"(?P<blank>[ \t\r\v\f]*\n)?(?P<lines>(?:[ \t]*[A-Za-z0-9+/=][A-Za-z0-9+/= \t\r\v\f]*\n" + _END
)
"""The same with white space in its lines, which OpenSSL takes in files."""
_LINE = 64
"""Characters of a line, where a blank line stands before the first."""


def only(data: bytes, label: str) -> bytes:
    """Decode a text that holds exactly one block.

    Args:
        data: the text.
        label: what the block must be.

    Returns:
        The block's content.

    Raises:
        ValueError: there is no block, more than one, one of another label, or a damaged one.
    """
    begin = _BEGIN.search(data)
    if begin is None or data.count(b"-----BEGIN") != 1:
        raise ValueError("it does not hold exactly one PEM block")
    if begin[1].decode() != label:
        raise ValueError(f"its PEM block is not a {label}")
    return _content(_BLOCK.match(data, begin.end()), begin)


def first(data: bytes, *labels: str) -> bytes:
    """Decode the first block of its kind in a file; text and other blocks may stand around it.

    Args:
        data: the file's content.
        labels: what the block may be called.

    Returns:
        The block's content.

    Raises:
        ValueError: there is no such block, or it is damaged.
    """
    for begin in _BEGIN.finditer(data):
        if begin[1].decode() in labels:
            return _content(_LOOSE_BLOCK.match(data, begin.end()), begin)
    raise ValueError(f"it holds no PEM block {labels[0]}")


def labels(data: bytes) -> list[str]:
    """List what the blocks of a file are called, in order."""
    return [begin[1].decode() for begin in _BEGIN.finditer(data)]


def text(content: bytes, label: str) -> str:
    """Write a block as stock fedmsg does, in lines of 64 characters.

    Args:
        content: what the block holds.
        label: what it is.

    Returns:
        The text, with a newline at its end.
    """
    encoded = base64.b64encode(content).decode()
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _content(rest: re.Match[bytes] | None, begin: re.Match[bytes]) -> bytes:
    if rest is None or rest["label"] != begin[1]:
        raise ValueError("its PEM block is damaged")
    lines = rest["lines"].split()
    if rest["blank"] and (any(len(line) != _LINE for line in lines[:-1]) or len(lines[-1]) > _LINE):
        raise ValueError("its PEM block is damaged")
    encoded = b"".join(lines)
    try:
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        content = b""
    if base64.b64encode(content) != encoded:
        raise ValueError("its PEM block is not base64")
    return content
