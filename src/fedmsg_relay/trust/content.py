"""The content that a signature covers: all that a message says, but not the bytes that say it."""

from __future__ import annotations

import json

from fedmsg_relay.canonical import signed_part
from fedmsg_relay.trust import huge


def says_the_same(body: bytes, other: bytes) -> bool:
    """Tell whether two messages differ in nothing that a signature covers.

    White space, escapes, and rubbish in the base64 of the signature are not covered. So anybody can write a signed
    message in other bytes, and it stays valid.

    Args:
        body: of a message whose signature is valid.
        other: any well-formed body.

    Returns:
        Whether they are the same; False where there is not enough memory to find out.
    """
    try:
        return _covered(body) == _covered(other)
    except (ValueError, TypeError, RecursionError, MemoryError):  # mostly: the other one cannot have been signed
        return False


def _covered(body: bytes) -> bytes:
    if huge.is_huge(body):
        parts = huge.take_apart(body)
        if parts is None:
            raise ValueError
        return parts.content
    message = json.loads(body.decode())
    if not isinstance(message, dict):
        raise TypeError
    return signed_part(message)
