"""A running relay with a publisher and a listener that it is known to connect."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from harness import PATIENCE, Host, wait_until
from messages import Message, envelope, numbered
from relays import Relay
from wire import Listener, Publisher, Sockets


class Hears(Protocol):
    """Anyone on outbound: a Listener or a stock program."""

    def heard(self, message: Message) -> bool: ...
    def forget(self) -> None: ...


_mark = itertools.count()


def join(publisher: Publisher, *listeners: Hears, timeout: float = PATIENCE) -> None:
    """Return when what the publisher sends reaches every listener, with nothing left on its way."""

    sent: list[Message] = []

    def send_mark() -> Message:
        sent.append(envelope("org.example.test.mark", next(_mark)))
        publisher.send(*sent[-1])
        return sent[-1]

    def reached(listener: Hears) -> bool:
        send_mark()
        return any(listener.heard(mark) for mark in sent)

    for listener in listeners:
        wait_until(partial(reached, listener), "a listener hears the publisher", timeout)
    last = send_mark()
    for listener in listeners:
        wait_until(partial(listener.heard, last), "a listener hears the last mark", timeout)
        listener.forget()


@dataclass(frozen=True)
class Bus:
    """A running relay with one publisher and one listener that are known to be connected."""

    relay: Relay
    publisher: Publisher
    listener: Listener
    sockets: Sockets

    @property
    def host(self) -> Host:
        return self.relay.host

    def pass_through(self, messages: Sequence[Message]) -> None:
        """Publish messages, and wait until they are through."""
        self.publisher.send_all(messages)
        self.listener.wait_for(messages[-1])

    def assert_relays(self) -> None:
        """Messages come out as they went in."""
        self.publisher.send_all(numbered(100))
        self.listener.expect(numbered(100))


StartBus = Callable[[], Bus]
