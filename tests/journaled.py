"""What tests put into a journal, and what it gives back."""

from __future__ import annotations

from fedmsg_relay.journal import Entry, Journal


def entries(count: int, start: int = 0, size: int = 20) -> list[Entry]:
    return [
        Entry(b"org.example.%d" % n, b'"%s%d"' % (b"x" * size, n), f"2026-{n}") for n in range(start, start + count)
    ]


def held(journal: Journal) -> list[Entry]:
    """Everything in it."""
    records = journal.waiting(0, 10**9)
    assert all(record.intact for record in records)
    return [Entry(record.topic, record.body, record.msg_id) for record in records]
