"""PEM: base64 between two lines that say what it is.

This module is on the path of every script that signs: it imports only what that needs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

CERTIFICATE = "CERTIFICATE"
CERTIFICATES = (CERTIFICATE, "X509 CERTIFICATE")
"""Labels under which a file may hold a certificate; the second is an old one."""
CRL = "X509 CRL"

_WHITE = b" \t\r\v\f"
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
    if data.count(b"-----BEGIN") != 1:
        raise ValueError("it does not hold exactly one PEM block")
    for found, lines in _blocks(data):
        if found == label:
            return _content(lines, label)
    raise ValueError(f"its PEM block is not a {label}")


def first(data: bytes, *wanted: str) -> bytes:
    """Decode the first block of its kind in a file; text and other blocks may stand around it.

    Args:
        data: the file's content.
        wanted: what the block may be called.

    Returns:
        The block's content.

    Raises:
        ValueError: there is no such block, or it is damaged.
    """
    for label, lines in _blocks(data):
        if label in wanted:
            # OpenSSL takes white space in the lines of files.
            return _content([b"".join(line.split()) for line in lines[:-1]] + lines[-1:], label)
    raise ValueError(f"it holds no PEM block {wanted[0]}")


def labels(data: bytes) -> list[str]:
    """List what the blocks of a file are called, in order."""
    return [label for label, _ in _blocks(data)]


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


def _blocks(data: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the label of each block, and its lines. The last line ends the block, unless the block has no end."""
    lines = [line.rstrip(_WHITE) for line in data.split(b"\n")]
    for number, line in enumerate(lines):
        if line.startswith(b"-----BEGIN ") and line.endswith(b"-----"):
            inside = lines[number + 1 :]
            end = next((at for at, other in enumerate(inside) if other.startswith(b"-----")), len(inside))
            yield line[11:-5].decode("latin-1"), inside[: end + 1]


def _content(lines: Sequence[bytes], label: str) -> bytes:
    *lines, end = lines or [b""]
    if end != f"-----END {label}-----".encode("latin-1"):
        raise ValueError("its PEM block is damaged")
    if lines and not lines[0]:
        lines = lines[1:]
        if any(len(line) != _LINE for line in lines[:-1]) or (lines and len(lines[-1]) > _LINE):
            raise ValueError("its PEM block is damaged")
    if not lines or not all(lines):
        raise ValueError("its PEM block is damaged")
    encoded = b"".join(lines)
    try:
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        content = b""
    if base64.b64encode(content) != encoded:
        raise ValueError("its PEM block is not base64")
    return content
