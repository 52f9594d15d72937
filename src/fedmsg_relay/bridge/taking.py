"""Takes the messages of a queue, many together, and a bounded number of bytes of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from fedmsg_relay.bridge.connecting import Properties

PREFETCH = 500
"""Messages that are taken from the queue and not acknowledged. Most of them wait in the kernel, or at the broker: pika
reads from its connection only when all that it has read is in a batch."""

BATCH_BYTES = 1024 * 1024
"""Bytes of messages that are taken together, with their properties; a larger message comes alone, or last."""


class Taken(NamedTuple):
    """A message of a queue, as pika has it."""

    method: Any
    properties: Properties
    body: bytes


def batches(channel: Any, queue: str, wait: float, stopping: threading.Event) -> Iterator[list[Taken]]:
    """Take messages from a queue.

    Args:
        channel: to the broker. Nothing else may wait for an answer over it: pika would read all messages before the
            answer into memory.
        queue: name of the queue.
        wait: seconds without a further message after which those in hand are yielded.
        stopping: if it is set, they are yielded at once.

    Yields:
        Some messages, which are to be acknowledged; none if there is none for now.
    """
    channel.basic_qos(prefetch_count=PREFETCH)
    batch: list[Taken] = []
    size = 0
    for method, properties, body in channel.consume(queue, inactivity_timeout=wait):
        if method is not None:
            batch.append(Taken(method, properties, body))
            size += len(body) + properties.size
        if method is None or len(batch) >= PREFETCH // 2 or size >= BATCH_BYTES or stopping.is_set():
            yield batch
            batch, size = [], 0
