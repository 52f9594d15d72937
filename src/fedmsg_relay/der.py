"""DER: the encoding of keys and certificates, read as far as signing and judging need it.

This module is on the path of every script that signs: it imports only what that needs.
"""

from __future__ import annotations

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER, SEQUENCE, SET = 0x01, 0x02, 0x03, 0x04, 0x06, 0x30, 0x31


class Element:
    """One element.

    Args:
        tag: what it is; :data:`SEQUENCE` and so on.
        content: what it holds.
        encoded: all of its bytes.
    """

    __slots__ = ("content", "encoded", "tag")

    def __init__(self, tag: int, content: bytes, encoded: bytes) -> None:
        self.tag = tag
        self.content = content
        self.encoded = encoded


def elements(data: bytes) -> list[Element]:
    """Split bytes into the elements that follow each other in them.

    Args:
        data: any bytes.

    Returns:
        The elements.

    Raises:
        ValueError: they are not DER.
    """
    found, at = [], 0
    while at < len(data):
        tag, length, start = data[at], *_length(data, at + 1)
        if start + length > len(data):
            raise ValueError("an element is longer than the data")
        found.append(Element(tag, data[start : start + length], data[at : start + length]))
        at = start + length
    return found


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Read a length; also get where the content begins."""
    head = data[at : at + 1]
    if not head:
        raise ValueError("an element has no length")
    if head[0] < 0x80:
        return head[0], at + 1
    digits = data[at + 1 : at + 1 + (head[0] & 0x7F)]
    length = int.from_bytes(digits, "big")
    if len(digits) != head[0] & 0x7F or len(digits) > 4 or length < 0x80 or digits[0] == 0:
        raise ValueError("an element's length is not DER")
    return length, at + 1 + len(digits)


def only(data: bytes) -> Element:
    """Read the one element that is all of the data.

    Raises:
        ValueError: it is something else.
    """
    found = elements(data)
    if len(found) != 1:
        raise ValueError("it is not one element")
    return found[0]


def sequence(data: bytes, tag: int = SEQUENCE) -> list[Element]:
    """Read what a sequence holds, where it is all of the data.

    Args:
        data: the encoded sequence.
        tag: another kind of constructed element.

    Returns:
        The elements in it.

    Raises:
        ValueError: it is something else.
    """
    found = only(data)
    if found.tag != tag:
        raise ValueError("it is not the element that was expected")
    return elements(found.content)


def integer(element: Element) -> int:
    """Read an integer, which may be negative.

    Raises:
        ValueError: it is something else.
    """
    if element.tag != INTEGER or not element.content:
        raise ValueError("it is not an integer")
    return int.from_bytes(element.content, "big", signed=True)


def octets(element: Element) -> bytes:
    """Read a bit string of whole bytes, as a signature is one.

    Raises:
        ValueError: it is something else.
    """
    if element.tag != BIT_STRING or element.content[:1] != b"\0":
        raise ValueError("it is not a bit string of whole bytes")
    return element.content[1:]


def object_identifier(dotted: str) -> bytes:
    """Encode an object identifier, such as ``2.5.29.35``, as the content of its element."""
    first, second, *rest = map(int, dotted.split("."))
    encoded = bytearray()
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        encoded += bytes(reversed(groups))
    return bytes(encoded)
