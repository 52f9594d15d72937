"""Messages that wait in the journal to be sent."""

from __future__ import annotations

from typing import NamedTuple

from fedmsg_relay.journal.records import Record
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.runtime.log import log


class Waiting(NamedTuple):
    """The next messages that wait.

    Attributes:
        records: intact messages.
        upto: ``seq`` of the last message that was looked at.
        damaged: number of messages up to there that are damaged or missing.
    """

    records: list[Record]
    upto: int
    damaged: int


def read_waiting(journal: Journal, limit: int, max_bytes: int) -> Waiting:
    """Read the next messages after the cursor; log how many are damaged or missing.

    Args:
        journal: the journal.
        limit: maximum number of messages.
        max_bytes: maximum bytes of them; a larger message comes alone.

    Raises:
        JournalCorruptError: the messages are not in their order.
        JournalError: they cannot be read.
    """
    after = journal.cursor.sent
    records, upto = journal.waiting(after, limit, max_bytes)
    damaged = upto - after - len(records)
    expected = after + 1
    for seq in (*(record.seq for record in records), upto + 1) if damaged else ():  # they must not stop the rest
        if seq > expected:
            log.error("journal: messages %d to %d are damaged or missing, they are not published", expected, seq - 1)
        expected = seq + 1
    return Waiting(records, upto, damaged)
