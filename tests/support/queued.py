"""A queue for a bridge's way back, and what services with fedora-messaging put into it."""

from __future__ import annotations

import json
import struct
from typing import Any

import pika

from bridged import Bridge
from messages import Message

TOPIC = "org.example.amqp"
HEADERS = {"sent-at": "2026-01-02T03:04:05+00:00", "fedora_messaging_schema": "base.message"}


class Queued:
    """The exchange of a test, with a queue for a bridge's way back."""

    def __init__(self, bridge: Bridge) -> None:
        self.exchange = bridge.exchange
        self.queue = self.exchange.queue("back")
        bridge.configure(amqp_url=[self.exchange.url], exchange=self.exchange.name, back_queue=self.queue)

    def publish(self, *numbers: int) -> None:
        """Publish as a service with fedora-messaging does."""
        with self.exchange.channel() as channel:
            for number in numbers:
                properties = pika.BasicProperties(message_id=f"id-{number}", headers=HEADERS, delivery_mode=2)
                body = json.dumps({"n": number}).encode()
                channel.basic_publish(self.exchange.name, TOPIC, body, properties)

    def publish_raw(self, key: str | bytes, properties: RawProperties) -> None:
        """Publish what pika itself would not."""
        with self.exchange.channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish(self.exchange.name, key, b"{}", properties)


class RawProperties(pika.BasicProperties):  # type: ignore[misc]
    """A message_id and headers as bytes.

    Args:
        message_id: any bytes.
        table: the fields of the headers.
    """

    def __init__(self, message_id: bytes, table: bytes = b"") -> None:
        super().__init__()
        self._raw = message_id, table

    def encode(self) -> list[bytes]:
        name, table = self._raw
        flags = self.FLAG_HEADERS | self.FLAG_DELIVERY_MODE | self.FLAG_MESSAGE_ID
        return [struct.pack(">HI", flags, len(table)), table, b"\x02", bytes([len(name)]), name]


def wrapped(number: int) -> Message:
    """What listeners hear of a message that was published."""
    envelope: dict[str, Any] = {
        "i": 1,
        "msg": {"n": number},
        "msg_id": f"2026-id-{number}",
        "timestamp": 1767323045,
        "topic": TOPIC,
        "username": "amqp-bridge",
    }
    return TOPIC.encode(), json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()
