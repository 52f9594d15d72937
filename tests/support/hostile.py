"""An upstream that says what a test wants."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

import zmq

from harness import PATIENCE, Host
from messages import Message

Answer = bytes | dict[str, Any]
"""Of the upstream: as it is, or to be made JSON of."""

CHAIN = {"status": "relay", "chain": ["hostile"], "complete": True, "heard": True}


class Hostile:
    """An upstream that says what the test wants."""

    def __init__(self, host: Host) -> None:
        self.submit, self.outbound = (f"tcp://127.0.0.1:{host.port()}" for _ in range(2))
        self.introduce: Callable[[], list[Answer]] = lambda: [CHAIN]
        self.take: Callable[[list[Message]], list[Answer]] = self.accept
        self.also_publish: list[Message] = []
        """Messages of others, before each batch that it takes."""
        self.asked = self.published = 0
        self._seq = self._subscriptions = 0
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def accept(self, messages: list[Message]) -> list[Answer]:
        """As a relay does."""
        for message in (*self.also_publish, *messages):
            self._publisher.send_multipart(message)
        self._seq += len(messages)
        return [{"status": "accepted", "seq": [self._seq - len(messages) + 1, self._seq], "duplicates": 0}]

    def flood(self) -> list[Answer]:
        """Publish at each inquiry what a link that is not joined may not forward."""
        for _ in range(20):
            with contextlib.suppress(zmq.Again):
                self._publisher.send_multipart([b"org.example.test.flood", bytes(2**20)], zmq.DONTWAIT)
                self.published += 1
        return [CHAIN | {"complete": False}]

    def behave(self) -> None:
        """From now on say that the subscription is there only when it is: else the first message goes unheard."""
        self.introduce, self.take = lambda: [CHAIN | {"heard": self._subscriptions > 0}], self.accept

    def close(self) -> None:
        self._closing = True
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        with context, context.socket(zmq.ROUTER) as router, context.socket(zmq.XPUB) as self._publisher:
            for bound, address in ((router, self.submit), (self._publisher, self.outbound)):
                bound.linger = 0
                bound.setsockopt(zmq.SNDHWM, 20)
                if bound.type == zmq.XPUB:
                    bound.setsockopt(zmq.XPUB_NODROP, 1)
                bound.bind(address)
            while not self._closing:
                while self._publisher.poll(0):
                    self._subscriptions += 1 if self._publisher.recv().startswith(b"\1") else -1
                if not router.poll(50):
                    continue
                peer, _, kind, *frames = router.recv_multipart()
                self.asked += kind == b"FMR1?"
                batch = list(zip(frames[::2], frames[1::2], strict=False))
                for answer in self.introduce() if kind == b"FMR1?" else self.take(batch):
                    said = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                    router.send_multipart([peer, b"", b"FMR1", said])
