"""Reads the journal for requests: in a few threads, so that one request cannot hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import limits
from fedmsg_relay.web.history import History, Portion
from fedmsg_relay.web.large import Extract, Large
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

    async def messages(
        self, numbers: Sequence[int], takes: Callable[[Record], bool] = lambda _: True
    ) -> AsyncIterator[Record | Large]:
        """Read messages, a portion at a time.

        Args:
            numbers: the ``seq`` of each.
            takes: whether a message is wanted; called in a thread.

        Yields:
            Those that are there, intact and wanted.
        """

        def read(portion: Portion, journal: History) -> list[Record | Large]:
            records = filter(takes, journal.read(portion.numbers))
            return [Large(one, self._extract) if portion.size > limits.CHUNK_BYTES else one for one in records]

        for portion in await self.look(lambda journal: journal.portions(numbers, limits.CHUNK_BYTES)):
            for message in await self.look(partial(read, portion)):
                yield message

    async def _extract(self, wanted: Extract) -> bytes:
        return await self.look(lambda journal: journal.extract(wanted))
