"""Reads the journal for requests: in a few threads, so that one request cannot hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import history, limits

T = TypeVar("T")


class Reader:
    """The journal, for requests.

    Args:
        path: of ``journal.db``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = ThreadPoolExecutor(limits.READERS, "reader")
        self._large = asyncio.Semaphore(limits.LARGE_ANSWERS)

    async def look(self, question: Callable[[history.History], T]) -> T:
        """Look into the journal.

        Args:
            question: what is asked of it, in a thread.

        Raises:
            JournalError: it cannot be read; or no thread was free in time.
        """

        def ask() -> T:
            with history.opened(self.path) as journal:
                return question(journal)

        return await self.run(ask)

    async def run(self, work: Callable[[], T]) -> T:
        """Do other work in one of the threads; see :meth:`look`."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.wait_for(future, limits.TURN_SECONDS)
        except TimeoutError:
            raise JournalError("too many requests at the moment: try again") from None

    async def records(self, numbers: Sequence[int]) -> AsyncIterator[Record]:
        """Read messages, a portion at a time.

        Args:
            numbers: the ``seq`` of each.

        Yields:
            Those that are there and intact.
        """
        for portion in await self.look(lambda journal: journal.portions(numbers, limits.CHUNK_BYTES)):
            read = _reading(portion)
            if len(portion) > 1:
                for record in await self.look(read):
                    yield record
            else:
                async with self._large:
                    for record in await self.look(read):
                        yield record


def _reading(portion: Sequence[int]) -> Callable[[history.History], list[Record]]:
    return lambda journal: journal.read(portion)
