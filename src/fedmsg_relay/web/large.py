"""A message that is too large to be in memory for each client: it is read from the journal part by part as it is sent.

So a client that does not read costs one part, and no other client waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from fedmsg_relay.web import limits

if TYPE_CHECKING:
    from fedmsg_relay.journal.records import Record


class Extract(NamedTuple):
    """A part of a frame of a message.

    Attributes:
        seq: of the message.
        time: when it was journaled.
        sizes: bytes of its topic and its body.
        column: ``topics`` or ``bodies``.
        start: where the part begins.
    """

    seq: int
    time: int
    sizes: tuple[int, int]
    column: str
    start: int


class Large:
    """A large message that was found intact.

    Args:
        record: the message; it is not kept.
        read: reads a part of it.

    Attributes:
        seq: its number.
        time: when it was journaled, in Unix microseconds.
        msg_id: of the envelope, if it has one.
    """

    def __init__(self, record: Record, read: Callable[[Extract], Awaitable[bytes]]) -> None:
        self.seq, self.time, self.msg_id = record.seq, record.time, record.msg_id
        self._sizes = len(record.topic), len(record.body)
        self._read = read

    def topic(self) -> AsyncIterator[bytes]:
        """Read its first frame.

        Yields:
            One part after the other.

        Raises:
            JournalError: the journal cannot be read, or does not have the message any more.
        """
        return self._frame("topics", self._sizes[0])

    def body(self) -> AsyncIterator[bytes]:
        """Read its second frame; see :meth:`topic`."""
        return self._frame("bodies", self._sizes[1])

    async def _frame(self, column: str, size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, limits.CHUNK_BYTES):
            yield await self._read(Extract(self.seq, self.time, self._sizes, column, start))
