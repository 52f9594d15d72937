"""Scripts that publish one message and wait for its receipt, by the usual Python client of each rival."""

from __future__ import annotations

import sys

from benchmarks.cold import TEXT
from benchmarks.rivals.dialects import JetStream
from benchmarks.work import TOPIC

REDIS = """
import sys, redis
port, topic, text = sys.argv[1:]
redis.Redis(port=int(port)).xadd(topic, {"body": text})
"""
NATS = """
import asyncio, sys, nats
port, topic, stream, text = sys.argv[1:]
async def main():
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    await client.jetstream().publish(topic, text.encode(), stream=stream)
    await client.close()
asyncio.run(main())
"""
RABBITMQ = """
import sys, pika
port, queue, text = sys.argv[1:]
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port)))
channel = connection.channel()
channel.confirm_delivery()
channel.basic_publish("", queue, text.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
connection.close()
"""


def with_redis(port: int) -> list[str]:
    """By redis-py."""
    return [sys.executable, "-c", REDIS, str(port), TOPIC.decode(), TEXT]


def with_nats(port: int) -> list[str]:
    """By nats-py."""
    return [sys.executable, "-c", NATS, str(port), TOPIC.decode(), JetStream.STREAM, TEXT]


def with_pika(port: int, queue: str) -> list[str]:
    """By pika."""
    return [sys.executable, "-c", RABBITMQ, str(port), queue, TEXT]
