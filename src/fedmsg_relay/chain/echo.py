"""The echo: messages that were forwarded to the upstream and not yet heard back at its outbound.

A chained relay publishes what it hears at the upstream's outbound, its own messages among it. A message that the
upstream has taken may never be heard: the link was cut just then, or one of the relays was killed. Our listeners get it
all the same: it is published here once it has been missed. That shows when a later message is heard, as the upstream
publishes in its journal's order, or when too much time has passed.

The upstream may also have had a message before, as its submitter turned from that relay to this one. Then it was heard
before it was forwarded, and will not be heard again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fedmsg_relay.journal.window import fingerprint
from fedmsg_relay.runtime import limits

Message = tuple[bytes, bytes]
"""Topic and body."""


@dataclass(eq=False)
class ForwardedBatch:
    """A batch that was submitted to the upstream.

    Attributes:
        messages: topic and body of each message.
        named: those of them that have a ``msg_id``, by which the upstream knows a duplicate.
        after: ``seq`` in our journal before its first message.
        receipted: whether the upstream has given its receipt.
    """

    messages: Sequence[Message]
    named: AbstractSet[Message]
    after: int
    receipted: bool = False


class _Recent:
    """The messages that were heard last, whosever they are."""

    def __init__(self) -> None:
        self._older: set[int] = set()
        self._newer: set[int] = set()

    def __contains__(self, message: Message) -> bool:
        known = fingerprint(*message)
        return known in self._newer or known in self._older

    def add(self, message: Message) -> None:
        if len(self._newer) >= limits.HEARD_MESSAGES:
            self._older, self._newer = self._newer, set()
        self._newer.add(fingerprint(*message))


class Echo:
    """Own messages that are yet to be heard, in the order in which they were submitted."""

    def __init__(self) -> None:
        self._waits_since = time.monotonic()
        self._awaited: OrderedDict[Message, ForwardedBatch] = OrderedDict()
        self._bytes = 0
        self._unanswered: ForwardedBatch | None = None
        self._recent = _Recent()

    @property
    def awaited(self) -> bool:
        """Whether the upstream has a message that was not heard yet."""
        return bool(self._awaited) and next(iter(self._awaited.values())).receipted

    @property
    def full(self) -> bool:
        """Whether so many messages are awaited that no more may be submitted."""
        return len(self._awaited) >= limits.ECHO_MESSAGES or self._bytes >= limits.ECHO_BYTES

    def complete_up_to(self, sent: int) -> int:
        """Get the ``seq`` up to which all messages of our journal have come out here.

        Args:
            sent: ``seq`` up to which the upstream has all messages.
        """
        return min(sent, next(iter(self._awaited.values())).after) if self._awaited else sent

    def expect(self, batch: ForwardedBatch) -> None:
        """Expect to hear a batch that is being submitted, perhaps again.

        Args:
            batch: the batch.
        """
        # If the previous batch got no answer, its messages come again; those that were heard are not heard twice.
        previous = self._unanswered.messages if self._unanswered is not None else ()
        heard = {message for message in previous if message not in self._awaited}
        heard |= {message for message in batch.named if message in self._recent}
        for message in batch.messages:
            known = self._awaited.get(message)
            if known is None and message not in heard:
                self._bytes += _size(message)
                self._awaited[message] = batch
            elif known is not None and not known.receipted:
                self._awaited[message] = batch
        self._unanswered = batch

    def take_receipt(self, batch: ForwardedBatch) -> None:
        """Note that the upstream has a batch.

        Args:
            batch: the batch.
        """
        batch.receipted = True
        self._unanswered = None
        self.restart_wait()

    def give_up(self, batch: ForwardedBatch) -> None:
        """Expect a batch no longer: the upstream will never have it.

        Args:
            batch: the batch.
        """
        self._unanswered = None
        for message in batch.messages:
            self._forget(message)

    @property
    def waited_seconds(self) -> float:
        """Time since messages of the upstream were last heard or expected: see :meth:`restart_wait`."""
        return time.monotonic() - self._waits_since

    def restart_wait(self) -> None:
        """Begin anew to wait: messages count as missed only when they have not been heard for some time."""
        self._waits_since = time.monotonic()

    def hear(self, message: Message) -> Iterator[Message]:
        """Note that a message was heard, one of ours or another.

        Args:
            message: topic and body.

        Yields:
            Own messages that were missed, as the upstream has published them before this one.
        """
        self._recent.add(message)
        if message not in self._awaited:
            return
        self.restart_wait()
        while (first := next(iter(self._awaited))) != message:
            self._forget(first)
            yield first
        self._forget(message)

    def missed(self) -> Iterator[Message]:
        """Stop waiting.

        Yields:
            Own messages that the upstream has and that were not heard.
        """
        while self._awaited:
            message, batch = next(iter(self._awaited.items()))
            if not batch.receipted:
                return
            self._forget(message)
            yield message

    def _forget(self, message: Message) -> None:
        if self._awaited.pop(message, None) is not None:
            self._bytes -= _size(message)


def _size(message: Message) -> int:
    return len(message[0]) + len(message[1]) + limits.MESSAGE_OVERHEAD
