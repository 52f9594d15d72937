"""Reads the journal for requests: in a few threads, so that one request cannot hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import limits
from fedmsg_relay.web.history import History
from fedmsg_relay.web.source import Source

T = TypeVar("T")


class Reader:
    """The journal, for requests.

    Args:
        source: the journal.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._threads = ThreadPoolExecutor(limits.READERS, "reader")
        self._searching = ThreadPoolExecutor(limits.SEARCHERS, "searcher")
        self._large = asyncio.Semaphore(limits.LARGE_ANSWERS)

    async def look(self, question: Callable[[History], T], search: bool = False) -> T:
        """Look into the journal.

        Args:
            question: what is asked of it, in a thread.
            search: whether it looks at messages one by one; such a question does not hold up others.

        Raises:
            JournalError: it cannot be read; or no thread was free in time.
        """

        def ask() -> T:
            with self._source.opened() as journal:
                return question(journal)

        return await self.run(ask, search)

    async def run(self, work: Callable[[], T], search: bool = False) -> T:
        """Do other work in one of the threads; see :meth:`look`."""
        threads = self._searching if search else self._threads
        future = asyncio.get_running_loop().run_in_executor(threads, work)
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


def _reading(portion: Sequence[int]) -> Callable[[History], list[Record]]:
    return lambda journal: journal.read(portion)
