"""Messages of a chained relay that could not be journaled: they are in memory until the upstream has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice, takewhile

from fedmsg_relay import submit
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log


class Unjournaled:
    """Keeps them, each behind the messages that were journaled before it."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Entry]] = deque()

    def __len__(self) -> int:
        """Get how many there are."""
        return len(self._kept)

    @property
    def after(self) -> int:
        """``seq`` of the last message that was journaled before the first one; there must be one."""
        return self._kept[0][0]

    def keep(self, entries: Sequence[Entry], after: int) -> None:
        """Keep messages, as far as there is room.

        Args:
            entries: the messages.
            after: ``seq`` of the last message that was journaled before them.
        """
        room = limits.UNJOURNALED_MESSAGES - len(self._kept)
        self._kept.extend((after, entry) for entry in entries[:room])
        if (lost := len(entries) - room) > 0:
            log.error("lost %d messages: they could not be journaled, forwarded or kept in memory", lost)

    def next(self, sent: int, at_most: int) -> list[Entry]:
        """Get the messages whose turn it is now.

        Args:
            sent: ``seq`` of the last message of the journal that was sent.
            at_most: maximum number of messages.

        Returns:
            A batch of them, up to where a message was journaled; at least the first one.
        """
        upto = max(sent, self.after)
        due = [entry for _, entry in takewhile(lambda kept: kept[0] <= upto, islice(self._kept, at_most))]
        messages = ((topic, body) for topic, body, _ in due)
        return due[: len(next(submit.batches(messages, at_most, limits.FORWARD_BYTES)))]

    def drop(self, count: int) -> None:
        """Keep the first ones no longer.

        Args:
            count: number of them.
        """
        for _ in range(count):
            self._kept.popleft()

    def take_all(self) -> list[Entry]:
        """Take all of them."""
        entries = [entry for _, entry in self._kept]
        self._kept.clear()
        return entries
