"""The forms in which messages are handed out. None encodes a body again: its signature would not hold any more."""

from __future__ import annotations

import json

import msgspec

from fedmsg_relay.journal.records import Record

_PLAIN_BYTES = 1024 * 1024
"""Bytes of a body for which json.loads decides, where msgspec cannot: it makes up to 60 times as many of it."""

_NAME_CHARACTERS = 200
"""Characters that are shown of a user's name."""


class _Envelope(msgspec.Struct):
    """What stock consumers take from a message without looking whether it is there."""

    topic: str
    msg_id: str
    timestamp: float


class _Sender(msgspec.Struct):
    """The user that a message names as its sender."""

    username: str = ""


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_sender = msgspec.json.Decoder(_Sender).decode


def is_envelope(body: bytes) -> bool:
    """Whether a body is a fedmsg envelope. A stock consumer's backfill ends with a traceback at anything else.

    Args:
        body: JSON.
    """
    try:
        _decode(body)
    except msgspec.ValidationError:
        return False
    except msgspec.DecodeError:  # NaN, and lone surrogates, which Python takes
        return len(body) <= _PLAIN_BYTES and _is_plain_envelope(body)
    return True


def _is_plain_envelope(body: bytes) -> bool:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    strings = (value.get("topic"), value.get("msg_id"))
    return all(isinstance(text, str) for text in strings) and isinstance(value.get("timestamp"), int | float)


def username(body: bytes) -> str:
    """Get the user that a message names; anybody may write it.

    Args:
        body: the second frame.

    Returns:
        The name; empty if there is none.
    """
    try:
        return _decode_sender(body).username[:_NAME_CHARACTERS] if len(body) <= _PLAIN_BYTES else ""
    except msgspec.DecodeError:
        return ""


def line(record: Record) -> bytes:
    """Write a message as ``fedmsg-relay journal export`` does, in one line: its body is a string with the exact text.

    Args:
        record: the message.

    Returns:
        JSON, without a newline at the end.
    """
    facts = {
        "seq": record.seq,
        "time": record.time / 1e6,
        "msg_id": record.msg_id,
        "topic": record.topic.decode(errors="backslashreplace"),
        "body": record.body.decode(errors="backslashreplace"),
    }
    return json.dumps(facts).encode()
