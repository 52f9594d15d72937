"""Finds the messages of a search: by bisection where only times are given, else by looking at each, within bounds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fedmsg_relay.web import limits
from fedmsg_relay.web.history import History
from fedmsg_relay.web.query import Query
from fedmsg_relay.web.rows import Row


@dataclass
class Found:
    """The messages of one page.

    Attributes:
        numbers: the ``seq`` of each.
        total: number of messages of all pages; of a search that was not finished, of those it found.
        resume: the last ``seq`` that was looked at, if there are more; else None.
    """

    numbers: list[int] = field(default_factory=list)
    total: int = 0
    resume: int | None = None

    def pages(self, rows: int) -> int:
        """Number of pages."""
        return -(-self.total // rows)


def search(journal: History, query: Query) -> Found:
    """Find the messages of a page.

    Args:
        journal: where to look.
        query: what to find.
    """
    ends = journal.ends()
    if ends is None:
        return Found()
    first, last = max(ends[0], query.after + 1), ends[1]
    if query.before is not None:
        last = min(last, query.before - 1)
    if query.start is not None:
        first = max(first, journal.first_since(query.start))
    if query.end is not None:
        last = min(last, journal.first_since(query.end + 1) - 1)
    if query.selects:
        return _look_at_each(journal, query, first, last)
    return _count_off(journal, query, first, last)


def _count_off(journal: History, query: Query, first: int, last: int) -> Found:
    ranges = journal.numbers(first, last)
    if query.descending:
        ranges = [numbers[::-1] for numbers in ranges[::-1]]
    total = sum(map(len, ranges))
    skipped, wanted = (query.page - 1) * query.rows, query.rows
    found: list[int] = []
    for numbers in ranges:
        part = numbers[skipped : skipped + wanted - len(found)]
        found += part
        skipped = max(0, skipped - len(numbers))
    return Found(found, total)


def _look_at_each(journal: History, query: Query, first: int, last: int) -> Found:
    found = Found()
    skipped = (query.page - 1) * query.rows
    size = 0
    ends = time.monotonic() + limits.SCAN_SECONDS
    for scanned, row in enumerate(journal.rows(first, last, query.descending), 1):
        if query.takes(row.topic):
            size += row.size if query.contains else 0
            if _body_is_taken(journal, query, row):
                if skipped <= found.total < skipped + query.rows:
                    found.numbers.append(row.seq)
                found.total += 1
        if scanned >= limits.SCANNED_ROWS or size >= limits.SCANNED_BYTES or time.monotonic() > ends:
            found.resume = None if row.seq == (first if query.descending else last) else row.seq
            break
    return found


def _body_is_taken(journal: History, query: Query, row: Row) -> bool:
    return not query.contains or any(query.takes_body(record.body) for record in journal.read([row.seq]))
