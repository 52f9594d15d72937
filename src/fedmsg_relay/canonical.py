"""The canonical form of a message: the JSON that stock fedmsg writes to the wire, and that signatures cover.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import json
import time
from typing import Any

CREDENTIALS = ("signature", "certificate")
"""Fields that a signature does not cover."""


def canonical(value: Any) -> bytes:
    """Encode a value as stock fedmsg does: sorted keys, no white space, ASCII only.

    Args:
        value: what JSON can hold, or what stock's encoder makes JSON of.

    Returns:
        The JSON text.

    Raises:
        TypeError: something in it has no form in JSON, or its keys cannot be sorted.
        ValueError: an integer has more digits than Python writes.
        RecursionError: it is nested too deep.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain).encode()


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


def plain(value: Any) -> Any:
    """Make what stock's encoder makes of an object for which JSON has no word.

    Args:
        value: the object.

    Returns:
        Its form in JSON.

    Raises:
        TypeError: it has none.
    """
    if hasattr(value, "__json__"):
        return value.__json__()
    if hasattr(value, "timetuple"):  # datetime and date
        return time.mktime(value.timetuple())
    if isinstance(value, time.struct_time):
        return time.mktime(value)
    if isinstance(value, set):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
