"""Messages to submit: some with names of their own, and some that no relay accepts."""

from __future__ import annotations

import json

from bus import Bus
from messages import Message

TOPIC = b"org.example.test.submit"
NOT_WELL_FORMED = {
    "topic-not-utf8": (b"org.\xff", b"{}"),
    "body-not-utf8": (TOPIC, b'"\xff"'),
    "body-not-json": (TOPIC, b"hello"),
    "too-deep": (TOPIC, b"[" * 2000 + b"]" * 2000),
    "too-large": (TOPIC, b'"' + b"x" * 5000 + b'"'),
}


def named(msg_id: str, number: int = 0) -> Message:
    return TOPIC, json.dumps({"topic": TOPIC.decode(), "msg": {"n": number}, "msg_id": msg_id}).encode()


def last_seq(bus: Bus) -> int:
    seq: int = bus.relay.status()["journal"]["last"]
    return seq
