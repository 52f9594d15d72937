"""The messages between the cursor and the end of what was read, and what is known of each."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fedmsg_relay.bridge.mapping import Outgoing

WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes of messages that are sent and not confirmed; a larger message goes alone. Also bytes that are read ahead."""


class State(StrEnum):
    """What is known of a message. All but the first two are final."""

    WAITING = "waiting"
    SENT = "sent"
    CONFIRMED = "confirmed"
    SKIPPED = "skipped"
    SET_ASIDE = "set aside"
    GAP = "gap"


_OPEN = (State.WAITING, State.SENT)


@dataclass
class Item:
    """A message, or numbers that no message has.

    Attributes:
        first: its ``seq``, or the first one of a gap.
        last: the same, or the last one of a gap.
        state: what is known of it.
        time: when it was journaled, in Unix microseconds.
        message: what is sent; None once that is done, or if it never is.
        unroutable: whether the broker had no queue for it.
        refused: why the broker closed the channel, where this message was alone in it.
        size: bytes of what is sent, while the window has it.
        again: whether it was set aside before, and is behind the cursor. It is sent alone.
    """

    first: int
    last: int
    state: State
    time: int = 0
    message: Outgoing | None = None
    unroutable: bool = False
    refused: str = ""
    size: int = 0
    again: bool = False


class Window:
    """Keeps the order: an item leaves at the front, and only once its state is final."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._waiting: deque[Item] = deque()
        self._tags: OrderedDict[int, Item] = OrderedDict()
        self._sent: dict[int, Item] = {}
        self._sent_bytes = self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def in_flight(self) -> int:
        """Number of messages that are sent and not confirmed."""
        return len(self._tags)

    def has_room(self, limit: int) -> bool:
        """Tell whether more is to be read from the journal.

        Args:
            limit: maximum number of items.
        """
        return len(self._items) < limit and self._bytes < WINDOW_BYTES

    def add(self, item: Item) -> None:
        """Add an item after all others."""
        self._items.append(item)
        item.size = item.message.size if item.message else 0
        self._bytes += item.size
        if item.state is State.WAITING:
            self._waiting.append(item)

    def next_to_send(self, limit: int) -> Item | None:
        """Get the oldest message that waits.

        Args:
            limit: maximum number of messages in flight.

        Returns:
            The message; None if there is none, or no room for it.
        """
        if not self._waiting or len(self._tags) >= limit:
            return None
        item = self._waiting[0]
        if not self._tags:
            return item
        alone = item.again or next(iter(self._tags.values())).again
        return None if alone or self._sent_bytes + item.size > WINDOW_BYTES else item

    def sent(self, item: Item, tag: int) -> None:
        """Note that the item of :meth:`next_to_send` was sent.

        Args:
            item: the item.
            tag: of the delivery, in this channel.
        """
        self._waiting.popleft()
        item.state, item.unroutable = State.SENT, False
        self._tags[tag] = self._sent[item.first] = item
        self._sent_bytes += item.size

    def settle(self, tag: int, multiple: bool) -> Iterator[Item]:
        """Take out of flight what the broker has answered.

        Args:
            tag: of the answer.
            multiple: whether all earlier ones are answered with it.

        Yields:
            Each item; it is up to the caller to give it another state.
        """
        tags = list(itertools.takewhile(lambda each: each <= tag, self._tags)) if multiple else [tag]
        for each in tags:
            if item := self._tags.pop(each, None):
                del self._sent[item.first]
                self._sent_bytes -= item.size
                yield item

    def note_unroutable(self, seq: object) -> None:
        """Note that the broker has no queue for a message in flight, whose confirm follows.

        Args:
            seq: of the message.
        """
        if isinstance(seq, int) and (item := self._sent.get(seq)):
            item.unroutable = True

    def wait_again(self, items: list[Item]) -> None:
        """Let messages wait to be sent again, before all that wait already.

        Args:
            items: out of flight, oldest first.
        """
        for item in items:
            item.state = State.WAITING
        self._waiting = deque(sorted([*items, *self._waiting], key=lambda item: item.first))

    def lose_all(self) -> list[Item]:
        """Note that the channel is gone: what was in flight waits again.

        Returns:
            These messages, oldest first.
        """
        lost = list(self._tags.values())
        self._tags.clear()
        self._sent.clear()
        self._sent_bytes = 0
        self.wait_again(lost)
        return sorted(lost, key=lambda item: item.first)

    def set_aside(self, item: Item, why: str) -> None:
        """Note that a message that waits is never sent.

        Args:
            item: the message.
            why: for people.
        """
        self._waiting.remove(item)
        item.state, item.message, item.refused = State.SET_ASIDE, None, why

    def take_final(self) -> list[Item]:
        """Take out the unbroken front of items whose state is final."""
        taken = []
        while self._items and self._items[0].state not in _OPEN:
            taken.append(self._items.popleft())
            self._bytes -= taken[-1].size
        return taken

    def clear(self) -> None:
        """Forget everything: the journal is read again from the cursor."""
        self._items.clear()
        self._waiting.clear()
        self._tags.clear()
        self._sent.clear()
        self._sent_bytes = self._bytes = 0
