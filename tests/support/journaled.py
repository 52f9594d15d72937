"""What tests put into a journal, and what it gives back."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from fedmsg_relay.journal import position
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.store import Journal


def entries(count: int, start: int = 0, size: int = 20) -> list[Entry]:
    return [
        Entry(b"org.example.%d" % n, b'"%s%d"' % (b"x" * size, n), f"2026-{n}") for n in range(start, start + count)
    ]


def held(journal: Journal) -> list[Entry]:
    """Everything in it."""
    records = journal.waiting(0, 10**9)
    assert all(record.intact for record in records)
    return [Entry(record.topic, record.body, record.msg_id) for record in records]


def take_back(path: Path, published: int, listeners: Sequence[str] = ()) -> None:
    """Note in a journal nobody has open that only so much was published: as after a kill.

    With a listener to wait for, somebody hears what comes out.
    """
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        last = position.find(db).last
        db.execute("DELETE FROM listener")
        db.executemany("INSERT INTO listener VALUES (?)", [(host,) for host in listeners])
        position.begin(db, published, last, position.seal_listeners(listeners))
