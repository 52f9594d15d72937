"""A journaled message as a message of AMQP, in the wire format of fedora-messaging: docs/bridge.md has the table.

A copy that is sent again has the same bytes: nothing here depends on the clock, or on how often it was tried. Nothing
of the sender's goes into a header unchecked, as RabbitMQ routes by some headers and refuses others.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from fedmsg_relay.journal.records import Record

RELAY, SEQ, ENVELOPE = "x-fedmsg-relay", "x-fedmsg-seq", "x-fedmsg-envelope"
"""Our headers: the identity of the relay, the number in its journal, and the envelope without ``msg``."""

BRIDGE_USER = "amqp-bridge"
"""``username`` of what a bridge brought from AMQP, stock's or ours. It is never sent back."""

NAME_BYTES = 255
"""Bytes of a routing key, and of a message_id: short strings of AMQP."""

ENVELOPE_BYTES = 32 * 1024
"""Bytes of an envelope that goes into its header. All headers of a message share one frame of 128 KiB."""

UNUSUAL_BYTES = 256 * 1024
"""Bytes of a body with NaN or a lone surrogate that is sent: to read it costs many times its size."""

_HEADERS = {
    "fedora_messaging_schema": "base.message",
    "fedora_messaging_schema_package": "fedora_messaging",
    "fedora_messaging_severity": 20,
    "priority": 0,
}
"""As stock's bridge sets them."""

_LATEST = 253402300800.0
"""The year 10000 in Unix time."""

_FALSE = re.compile(rb'(null|false|""|\[\s*\]|-?0(\.0*)?([eE][+-]?\d+)?)\Z')
"""What Python takes for false, beside an empty object."""


class Reason(StrEnum):
    """Why a message is set aside, and never sent. This list is closed."""

    TOPIC_TOO_LONG = "topic-too-long"
    NO_ENVELOPE = "no-envelope"
    MSG_NOT_AN_OBJECT = "msg-not-an-object"
    UNUSUAL_JSON = "unusual-json"
    DAMAGED = "damaged"
    REFUSED_BY_BROKER = "refused-by-broker"


class Outgoing(NamedTuple):
    """A message for the broker.

    Attributes:
        routing_key: the topic.
        body: the ``msg`` of the envelope.
        message_id: the ``msg_id`` of the envelope.
        headers: of AMQP.
    """

    routing_key: str
    body: bytes
    message_id: str
    headers: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of what may be large: the body, and the envelope in the header."""
        return len(self.body) + len(self.headers.get(ENVELOPE, ""))


class FromBroker:
    """A message that a bridge brought from AMQP: it is there already."""


_Decoded = dict[str, msgspec.Raw]


class _Envelope(msgspec.Struct):
    """What is looked for in a body. Any value is taken, as anybody may have written it."""

    msg: msgspec.Raw = msgspec.Raw()
    username: msgspec.Raw = msgspec.Raw()
    timestamp: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_fields = msgspec.json.Decoder(_Decoded).decode


def outgoing(record: Record, relay: str) -> Outgoing | FromBroker | Reason:
    """Make the message for the broker.

    Args:
        record: a journaled message.
        relay: identity of the relay.

    Returns:
        The message; or why it is not sent.
    """
    if not record.intact or len(record.topic) > NAME_BYTES:
        return Reason.TOPIC_TOO_LONG if record.intact else Reason.DAMAGED
    try:
        found, fields = _open(record.body)
    except msgspec.ValidationError:  # it is not an object
        return Reason.NO_ENVELOPE
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Reason.UNUSUAL_JSON
    if bytes(found.username) == b'"%s"' % BRIDGE_USER.encode():
        return FromBroker()
    msg = bytes(found.msg)
    replaced = _FALSE.match(msg) is not None
    if not msg.startswith(b"{") and not replaced:
        return Reason.MSG_NOT_AN_OBJECT if msg else Reason.NO_ENVELOPE
    headers = {**_HEADERS, "sent-at": _sent_at(bytes(found.timestamp), record), RELAY: relay, SEQ: record.seq}
    if fields is not None and (envelope := _without_msg(fields, replaced)) is not None:
        headers[ENVELOPE] = envelope
    return Outgoing(record.topic.decode(), b"{}" if replaced else msg, _name(record, relay), headers)


def _open(body: bytes) -> tuple[_Envelope, _Decoded | None]:
    """Take a body apart; also into all its fields, unless these are more than go into a header.

    Raises:
        msgspec.ValidationError: it is not an object.
        ValueError: it is too large to be read in a way that costs many times its size.
    """
    try:
        found = _decode(body)
        few = len(body) - len(bytes(found.msg)) <= ENVELOPE_BYTES
        return found, _decode_fields(body) if few else None
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # NaN, a lone surrogate, or the like, which json.loads takes
        if len(body) > UNUSUAL_BYTES:
            raise
    value = json.loads(body)
    if not isinstance(value, dict):
        raise msgspec.ValidationError("not an object")
    fields = {key: msgspec.Raw(json.dumps(each).encode()) for key, each in value.items()}
    return _Envelope(**{key: fields[key] for key in ("msg", "username", "timestamp") if key in fields}), fields


def _without_msg(fields: _Decoded, replaced: bool) -> str | None:
    """Write an envelope without ``msg``, unless the body is not that; None if it is too large for a header."""
    kept = sorted(key for key in fields if key != "msg" or replaced)
    parts = [json.dumps(key).encode() + b":" + bytes(fields[key]) for key in kept]
    text = b"{" + b",".join(parts) + b"}"
    return text.decode() if len(text) <= ENVELOPE_BYTES else None


def _sent_at(timestamp: bytes, record: Record) -> str:
    """Write when a message was sent: by its envelope, or else when it was journaled. Never by the clock."""
    seconds = record.time / 1e6
    try:
        stated = float(timestamp) if timestamp and len(timestamp) < 40 else 0.0
    except ValueError:
        stated = 0.0
    if 1 <= stated < _LATEST:
        seconds = stated
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _name(record: Record, relay: str) -> str:
    """Get the message_id; for a message without ``msg_id`` make one that is the same at every try."""
    name = record.msg_id
    if name is not None and 0 < len(name.encode(errors="replace")) <= NAME_BYTES:
        return name
    year = datetime.fromtimestamp(record.time / 1e6, UTC).year
    return f"{year}-{uuid.uuid5(uuid.NAMESPACE_OID, f'{relay}/{record.time}/{record.seq}')}"
