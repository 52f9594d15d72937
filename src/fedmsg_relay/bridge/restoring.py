"""A message of AMQP as a message of fedmsg: the original one where a bridge of ours sent it, else as stock makes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from fedmsg_relay.body import nesting
from fedmsg_relay.bridge.mapping import BRIDGE_USER, ENVELOPE, ENVELOPE_BYTES
from fedmsg_relay.envelope import canonical
from fedmsg_relay.errors import NotWellFormedError
from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE, MAX_MSG_ID, MAX_NESTING
from fedmsg_relay.signing import Signer

MAX_VALUES = 1_000_000
"""Values of a body, about: to read it takes some 100 bytes of memory for each."""

_LATEST = 253402300800.0
"""The year 10000 in Unix time."""

_YEAR = re.compile(r"\d{4}-")

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_pass_over = msgspec.json.Decoder(msgspec.Raw).decode


class Bad(StrEnum):
    """Why a message of AMQP cannot be a message of fedmsg. This list is closed."""

    NO_MESSAGE_ID = "no-message-id"
    TOPIC_NOT_UTF8 = "topic-not-utf8"
    NOT_JSON = "not-json"
    TOO_LARGE = "too-large"
    REFUSED_BY_RELAY = "refused-by-relay"


class Delivery(NamedTuple):
    """What came from a queue. A name is bytes where it is not UTF-8.

    Attributes:
        routing_key: of AMQP.
        message_id: of AMQP, if it has one.
        headers: of AMQP.
        body: of AMQP.
    """

    routing_key: str | bytes
    message_id: str | bytes | None
    headers: Mapping[str, Any]
    body: bytes


def restore(delivery: Delivery, otherwise: float, signer: Signer | None) -> tuple[bytes, bytes] | Bad:
    """Make topic and body.

    Args:
        delivery: what came.
        otherwise: Unix time of a delivery whose headers do not say when it was sent; 0 if nothing says it. Never the
            clock: a delivery that comes again has to have the same bytes.
        signer: signs an envelope that is made here; None for unsigned ones.

    Returns:
        The message; or why there is none.
    """
    if isinstance(delivery.routing_key, bytes):
        return Bad.TOPIC_NOT_UTF8
    if len(delivery.body) > DEFAULT_MAX_MESSAGE_SIZE:
        return Bad.TOO_LARGE
    body = _original(delivery) or _wrapped(delivery, delivery.routing_key, otherwise, signer)
    return body if isinstance(body, Bad) else (delivery.routing_key.encode(), body)


def _wrapped(delivery: Delivery, topic: str, otherwise: float, signer: Signer | None) -> bytes | Bad:
    """Make the envelope that stock's bridge makes."""
    name = delivery.message_id
    if not name or isinstance(name, bytes) or len(name) > MAX_MSG_ID - 5 or not name.isascii():
        return Bad.NO_MESSAGE_ID
    msg = _read(delivery.body)
    if isinstance(msg, Bad):
        return msg
    sent = _sent(delivery.headers.get("sent-at"), otherwise)
    envelope = {
        "topic": topic,
        "msg": msg,
        "timestamp": int(sent),
        "msg_id": name if _YEAR.match(name) else f"{datetime.fromtimestamp(sent, UTC).year}-{name}",
        "i": 1,  # not a counter: a message that comes again has to have the same bytes
        "username": BRIDGE_USER,
    }
    try:
        body = canonical(signer.sign(envelope) if signer else envelope)
    except (NotWellFormedError, TypeError, ValueError, RecursionError):
        return Bad.NOT_JSON
    return body if len(body) <= DEFAULT_MAX_MESSAGE_SIZE else Bad.TOO_LARGE  # a letter may have become six


def _read(body: bytes) -> Any:
    """Read a body; or say why it cannot be read."""
    if body.count(b",") > MAX_VALUES:
        return Bad.TOO_LARGE
    if body.count(b"[") + body.count(b"{") > MAX_NESTING and nesting(body) >= MAX_NESTING:
        return Bad.NOT_JSON
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return Bad.NOT_JSON


def _original(delivery: Delivery) -> bytes | None:
    """Put an envelope and its ``msg`` together again, byte for byte as stock wrote them; None where that fails."""
    text = delivery.headers.get(ENVELOPE)
    if not isinstance(text, str) or len(text) > ENVELOPE_BYTES:
        return None
    try:
        fields = {key: bytes(value) for key, value in _decode(text).items()}
        _pass_over(delivery.body)
        named = json.loads(fields.get("msg_id", b"null"))
    except (ValueError, RecursionError):  # also msgspec's errors
        return None
    if named is not None and named != delivery.message_id:
        return None
    if "msg" not in fields or delivery.body != b"{}":  # stock's bridge makes an empty object of null and the like
        fields["msg"] = delivery.body
    parts = (json.dumps(key).encode() + b":" + fields[key] for key in sorted(fields))
    return b"{" + b",".join(parts) + b"}"


def _sent(text: Any, otherwise: float) -> float:
    """Read when a message was sent, which a retry has in common with the first try."""
    try:
        sent = datetime.fromisoformat(text)
        seconds = (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        seconds = otherwise
    return next((time for time in (seconds, otherwise) if 0 < time < _LATEST), 0.0)
