"""The part of a message that its signature covers.

This module is on the path of every script that signs: it imports only what that needs.
"""

from __future__ import annotations

from typing import Any

from fedmsg_relay.envelope import canonical

__all__ = ["CREDENTIALS", "canonical", "signed_part"]

CREDENTIALS = ("signature", "certificate")
"""Fields that a signature does not cover."""


def signed_part(message: dict[str, Any]) -> bytes:
    """Encode what the signature of a message covers.

    Args:
        message: the message, signed or not.

    Returns:
        The canonical form of all its fields but the signature and the certificate.

    Raises:
        TypeError, ValueError, RecursionError: as for :func:`canonical`.
    """
    return canonical({key: value for key, value in message.items() if key not in CREDENTIALS})
