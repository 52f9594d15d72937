"""What was passed on and was not heard back yet, so that our own listeners miss nothing that has a receipt here.

A chained relay publishes what it hears at the upstream's outbound, its own messages among it. One that upstream has
taken may never be heard: the link was cut just then, or one of the relays was killed. It is published here all the same
when it can be told that it was missed: by one that was passed on after it and is heard (upstream publishes in its
journal's order), or by time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fedmsg_relay.runtime import limits

Message = tuple[bytes, bytes]
"""Topic and body."""


@dataclass(eq=False)
class ForwardedBatch:
    """A batch that was passed on.

    Attributes:
        messages: topic and body of each.
        after: ``seq`` in our journal before its first message.
        receipted: whether upstream has it.
    """

    messages: Sequence[Message]
    after: int
    receipted: bool = False


class Echo:
    """Own messages that are yet to be heard, in the order in which they were passed on.

    Attributes:
        stirred: when last one was heard or got its receipt, by ``time.monotonic``; or was not to be expected.
    """

    def __init__(self) -> None:
        self.stirred = time.monotonic()
        self._awaited: OrderedDict[Message, ForwardedBatch] = OrderedDict()
        self._bytes = 0
        self._unanswered: ForwardedBatch | None = None

    @property
    def awaited(self) -> bool:
        """Whether upstream has one that nobody has heard."""
        return bool(self._awaited) and next(iter(self._awaited.values())).receipted

    @property
    def full(self) -> bool:
        """Whether so many are awaited that no further ones may be passed on."""
        return len(self._awaited) >= limits.ECHO_MESSAGES or self._bytes >= limits.ECHO_BYTES

    def complete_up_to(self, handed: int) -> int:
        """Tell up to where in our journal everything has come out here.

        Args:
            handed: ``seq`` up to which upstream has everything.
        """
        return min(handed, next(iter(self._awaited.values())).after) if self._awaited else handed

    def expect(self, batch: ForwardedBatch) -> None:
        """A batch is passed on now, perhaps again.

        Args:
            batch: what it is.
        """
        # Of one that got no answer, what was heard all the same is not expected to be heard again.
        before = self._unanswered.messages if self._unanswered is not None else ()
        heard = {message for message in before if message not in self._awaited}
        for message in batch.messages:
            known = self._awaited.get(message)
            if known is None and message not in heard:
                self._bytes += _size(message)
                self._awaited[message] = batch
            elif known is not None and not known.receipted:
                self._awaited[message] = batch
        self._unanswered = batch

    def take_receipt(self, batch: ForwardedBatch) -> None:
        """Upstream has the batch.

        Args:
            batch: which one.
        """
        batch.receipted = True
        self._unanswered = None
        self.stir()

    def give_up(self, batch: ForwardedBatch) -> None:
        """Upstream will not ever have the batch.

        Args:
            batch: which one.
        """
        self._unanswered = None
        for message in batch.messages:
            self._forget(message)

    def stir(self) -> None:
        """The time after which messages are taken to have been missed begins anew."""
        self.stirred = time.monotonic()

    def hear(self, message: Message) -> Iterator[Message]:
        """A message is heard, one of ours or another.

        Args:
            message: topic and body.

        Yields:
            Own messages that were published upstream before it and were missed.
        """
        if message not in self._awaited:
            return
        self.stir()
        while (first := next(iter(self._awaited))) != message:
            self._forget(first)
            yield first
        self._forget(message)

    def missed(self) -> Iterator[Message]:
        """Give up waiting.

        Yields:
            Own messages that upstream has and nobody has heard.
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
