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
    """Read the next messages after the cursor; log those that are damaged or missing.

    Args:
        journal: the journal.
        limit: maximum number of messages.
        max_bytes: maximum bytes of them; a larger message comes alone.

    Raises:
        JournalCorruptError: the messages are not in their order.
        JournalError: they cannot be read.
    """
    after = journal.cursor.sent
    records = journal.waiting(after, limit, max_bytes)
    intact = []
    for record in records:
        if record.intact:
            intact.append(record)
        else:
            log.error("journal: message seq %d is damaged, it is not published", record.seq)
    upto = records[-1].seq if records else journal.last
    # Messages between these were lost on disk; they must not stop the rest.
    missing = upto - after - len(records)
    if missing:
        log.error("journal: %d messages up to seq %d are missing", missing, upto)
    return Waiting(intact, upto, upto - after - len(intact))
