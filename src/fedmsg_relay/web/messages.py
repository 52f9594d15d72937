"""The forms in which messages are handed out. None encodes a body again: its signature would not hold any more."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncIterator

import msgspec

from fedmsg_relay.journal.records import Record
from fedmsg_relay.web.large import Large

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


async def line(message: Record | Large) -> AsyncIterator[bytes]:
    """Write a message as ``fedmsg-relay journal export`` does, in one line: its body is a string with the exact text.

    Args:
        message: the message.

    Yields:
        JSON, without a newline at the end; that of a large message in parts.
    """
    facts = {"seq": message.seq, "time": message.time / 1e6, "msg_id": message.msg_id}
    if isinstance(message, Record):
        facts["topic"] = message.topic.decode(errors="backslashreplace")
        facts["body"] = message.body.decode(errors="backslashreplace")
        yield json.dumps(facts).encode()
        return
    yield json.dumps(facts).encode()[:-1]
    for name, frame in ((b"topic", message.topic()), (b"body", message.body())):
        yield b', "%s": "' % name
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        async for part in frame:
            yield _escaped(decoder.decode(part))
        yield _escaped(decoder.decode(b"", final=True)) + b'"'
    yield b"}"


async def body(message: Record | Large) -> AsyncIterator[bytes]:
    """Write the body of a message, byte for byte.

    Args:
        message: the message.

    Yields:
        The body; that of a large message in parts.
    """
    if isinstance(message, Record):
        yield message.body
        return
    async for part in message.body():
        yield part


def _escaped(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()
