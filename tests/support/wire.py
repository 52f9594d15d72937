"""The sockets of tests: publishers, listeners and submitters.

A test compares which messages came out, in which order: `Listener.expect` fails on one message too
many before or between the expected ones, so a test that must show that something did *not* come
out sends a good message after it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import zmq

from harness import PATIENCE, wait_until
from messages import Message, compare

T = TypeVar("T")


class Publisher:
    """Stock's wire: `[topic, body]` on a socket connected to inbound.

    XPUB is PUB that also says when the relay has subscribed; before that a PUB drops what it sends.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.set_hwm(0)
        self._socket.linger = 0
        self._socket.ipv6 = True
        self._socket.connect(address)
        self.address = address

    def wait_subscribed(self, timeout: float = PATIENCE) -> Publisher:
        if not self._socket.poll(int(timeout * 1000)):
            raise AssertionError(f"nothing subscribed at {self.address} within {timeout:g} s")
        self._socket.recv()
        return self

    def send(self, *frames: bytes) -> None:
        self._socket.send_multipart(frames)

    def send_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._socket.send_multipart(message)

    def close(self, linger: int = 0) -> None:
        self._socket.close(linger)


class StockPublisher(Publisher):
    """A publisher as stock's long-running ones are: a PUB that queues 1000 messages and drops the next in silence."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.PUB)
        self._socket.linger = 1000
        self._socket.connect(address)
        self.address = address


class Listener:
    """A subscriber on outbound that keeps everything it hears, in order."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        *addresses: str,
        topic: bytes = b"",
        bind: str = "",
        stock: bool = False,
    ) -> None:
        self._socket = context.socket(zmq.SUB)
        if stock:  # its defaults: queues of 1000, and ever longer pauses between two tries to connect
            self._socket.reconnect_ivl, self._socket.reconnect_ivl_max = 100, 1000
        else:
            self._socket.set_hwm(0)
        self._socket.linger = 0
        self._socket.ipv6 = True
        self._socket.subscribe(topic)
        for address in addresses:
            self._socket.connect(address)
        if bind:
            self._socket.bind(bind)
        self.messages: list[tuple[bytes, ...]] = []

    def hear(self, timeout: float = 0.0) -> list[tuple[bytes, ...]]:
        """Take what has come, waiting at most the timeout for the first of it."""
        if self._socket.poll(int(timeout * 1000)):
            with contextlib.suppress(zmq.Again):
                while True:
                    self.messages.append(tuple(self._socket.recv_multipart(zmq.DONTWAIT)))
        return self.messages

    def hear_while(self, action: Callable[[], T]) -> T:
        """Run the action beside taking what comes, and return what it returns."""
        with ThreadPoolExecutor(1) as beside:
            future = beside.submit(action)
            while not future.done():
                self.hear(0.05)
        self.hear()
        return future.result()

    def heard(self, message: Message) -> bool:
        return message in self.hear()

    def subscribe(self, topic: bytes) -> None:
        """One topic more."""
        self._socket.subscribe(topic)

    def forget(self) -> None:
        self.messages.clear()

    def expect(self, messages: Sequence[tuple[bytes, ...]], timeout: float = PATIENCE) -> None:
        """Exactly these come next, in this order."""
        deadline = time.monotonic() + timeout
        while len(self.messages) < len(messages) and time.monotonic() < deadline:
            self.hear(0.2)
        compare(self.messages[: len(messages)], messages)
        del self.messages[: len(messages)]

    def wait_for(self, message: Message, timeout: float = PATIENCE) -> list[tuple[bytes, ...]]:
        """Everything heard up to and including the message."""
        wait_until(lambda: self.heard(message), f"{message!r:.200} on outbound", timeout)
        end = self.messages.index(message) + 1
        up_to, self.messages = self.messages[:end], self.messages[end:]
        return up_to

    def close(self, linger: int = 0) -> None:
        self._socket.close(linger)


class Submitter:
    """A client of submit that knows only the protocol's page: a DEALER, or a REQ."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, kind: int = zmq.DEALER) -> None:
        self._socket = context.socket(kind)
        self._socket.linger = 0
        self._socket.ipv6 = True
        self._socket.connect(address)
        self._delimiter = [b""] if kind == zmq.DEALER else []
        self.address = address

    def send(self, *messages: Message) -> None:
        """Send a request, without waiting for its answer."""
        self.send_frames(b"FMR1", *(frame for message in messages for frame in message))

    def send_frames(self, *frames: bytes) -> None:
        """Send whatever a client may get wrong behind the empty frame."""
        self._socket.send_multipart([*self._delimiter, *frames])

    def send_raw(self, *frames: bytes) -> None:
        """Send whatever a client may get wrong."""
        self._socket.send_multipart(frames)

    def answer(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next answer."""
        answer = self.answer_if_any(timeout)
        assert answer is not None, f"no answer from {self.address} within {timeout:g} s"
        return answer

    def answer_if_any(self, timeout: float = 0.0) -> dict[str, Any] | None:
        if not self._socket.poll(int(timeout * 1000)):
            return None
        frames = self._socket.recv_multipart()
        assert frames[:-1] == [*self._delimiter, b"FMR1"], frames
        answer: dict[str, Any] = json.loads(frames[-1])
        return answer

    def receive_raw(self, timeout: float = PATIENCE) -> list[bytes]:
        """The frames of the next answer, whatever they are."""
        assert self._socket.poll(int(timeout * 1000)), f"no answer from {self.address} within {timeout:g} s"
        return self._socket.recv_multipart()

    def ask(self, *messages: Message, timeout: float = PATIENCE) -> dict[str, Any]:
        """One request and its answer."""
        self.send(*messages)
        return self.answer(timeout)

    def close(self, linger: int = 0) -> None:
        self._socket.close(linger)


def accepted(first: int, last: int, duplicates: int = 0) -> dict[str, Any]:
    """A receipt as the protocol's page has it."""
    return {"status": "accepted", "seq": [first, last], "duplicates": duplicates}


class Sockets:
    """The ZeroMQ sockets of one test. One that the test leaks fails it instead of hanging it."""

    def __init__(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, 4096)
        self._open: list[Publisher | Listener | Submitter] = []

    def publisher(self, address: str) -> Publisher:
        """A publisher that the relay has subscribed to."""
        return self.connecting(address).wait_subscribed()

    def connecting(self, address: str) -> Publisher:
        publisher = Publisher(self.context, address)
        self._open.append(publisher)
        return publisher

    def listener(self, *addresses: str, topic: bytes = b"") -> Listener:
        listener = Listener(self.context, *addresses, topic=topic)
        self._open.append(listener)
        return listener

    def stock_publisher(self, address: str) -> StockPublisher:
        publisher = StockPublisher(self.context, address)
        self._open.append(publisher)
        return publisher

    def stock_listener(self, *addresses: str) -> Listener:
        listener = Listener(self.context, *addresses, stock=True)
        self._open.append(listener)
        return listener

    def submitter(self, address: str, kind: int = zmq.DEALER) -> Submitter:
        submitter = Submitter(self.context, address, kind)
        self._open.append(submitter)
        return submitter

    def inbound(self, address: str) -> Listener:
        """The relay's own place, taken by the test: it sees what publishers send, and nothing else.

        A bound socket subscribes to new connections only while it is used: see `Listener.hear_while`.
        """
        listener = Listener(self.context, bind=address)
        self._open.append(listener)
        return listener

    def send_and_leave(self, address: str, messages: Sequence[tuple[bytes, ...]]) -> None:
        """A publisher that connects, sends and is gone."""
        one = Sockets()
        publisher = one.publisher(address)
        for message in messages:
            publisher.send(*message)
        one.leave()

    def leave(self) -> None:
        """Close all; on return every byte sent is in the receiver's kernel, read or not."""
        self.close(linger=int(PATIENCE * 1000))

    def close(self, linger: int = 0) -> None:
        for one in self._open:
            one.close(linger)
        end_context(self.context)


def end_context(context: zmq.Context[zmq.Socket[bytes]], timeout: float = PATIENCE) -> None:
    """End a context in bounded time; it is a fault if it waits for an open socket."""
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    ending.join(timeout)
    assert not ending.is_alive(), "a ZeroMQ socket was left open"
