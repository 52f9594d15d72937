"""The end of the journal, looked at for all live streams together."""

from __future__ import annotations

import asyncio

from fedmsg_relay.errors import JournalError
from fedmsg_relay.web import limits
from fedmsg_relay.web.reader import Reader


class Tip:
    """Wakes streams when the journal grows.

    Args:
        reader: reads the journal.

    Attributes:
        ended: whether the process is about to end, and streams with it.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._last = 0
        self._moved = asyncio.Event()
        self._waiting = 0
        self._wanted = asyncio.Event()
        self.ended = False

    async def keep(self) -> None:
        """Look at the end of the journal while somebody waits for it."""
        while not self.ended:
            await self._wanted.wait()
            try:
                ends = await self._reader.look(lambda journal: journal.ends())
            except JournalError:  # the stream finds out itself when it reads
                ends = None
            last = ends[1] if ends else 0
            if last != self._last:
                self._last = last
                self._wake()
            await asyncio.sleep(limits.TIP_SECONDS)

    async def wait(self, seq: int, seconds: float) -> bool:
        """Wait until the journal ends at another message.

        Args:
            seq: the last message that is known.
            seconds: maximum time.

        Returns:
            False if it still ends there.
        """
        if self._wanted.is_set() and self._last > seq:
            return True
        self._waiting += 1
        self._wanted.set()
        moved = self._moved
        try:
            await asyncio.wait_for(moved.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._wanted.clear()
        return True

    def end(self) -> None:
        """Let all streams end."""
        self.ended = True
        self._wanted.set()
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
