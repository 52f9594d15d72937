"""Entries for a journal in tests, and the entries that it holds."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
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
    records, upto = journal.waiting(0, 10**9, 2**40)
    assert upto == journal.last
    return [Entry(record.topic, record.body, record.msg_id) for record in records]


def take_back(path: Path, published: int, listeners: Sequence[str] = ()) -> None:
    """Note in a closed journal that less was published, as after a kill.

    With a listener to wait for, somebody hears what comes out.
    """
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        last = position.find(db).last
        db.execute("DELETE FROM listener")
        db.executemany("INSERT INTO listener VALUES (?)", [(host,) for host in listeners])
        position.begin(db, published, last, position.seal_listeners(listeners))


FORMAT_1 = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, msg_id TEXT, topic BLOB NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, topic BLOB NOT NULL,
    body BLOB NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE state (format INTEGER NOT NULL, published INTEGER NOT NULL);
CREATE TABLE listener (address TEXT NOT NULL);
"""


def make_format_1(path: Path, published: int, count: int = 50) -> None:
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript(FORMAT_1)
        db.execute("INSERT INTO state VALUES (1, ?)", (published,))
        db.execute("INSERT INTO listener VALUES ('127.0.0.1')")
        for seq, entry in enumerate(entries(count), 1):
            crc = zlib.crc32(entry.topic + entry.body)
            row = (seq, 1_700_000_000_000_000 + seq, entry.msg_id, entry.topic, entry.body, crc)
            db.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", row)


def make_format_2(path: Path, published: int, count: int = 50) -> None:
    """A journal as the previous format had it, with a listener noted."""
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.executescript(FORMAT_1.replace("state (format INTEGER NOT NULL, published INTEGER NOT NULL)", STATE_2))
        state = (2, published, position.seal_listeners(["127.0.0.1"]))
        db.execute("INSERT INTO state VALUES (?, ?, ?, ?)", (*state, position.seal(*state)))
        db.execute("INSERT INTO batch VALUES (?, ?, ?)", (published, count, position.seal(published, count)))
        db.execute("INSERT INTO listener VALUES ('127.0.0.1')")
        for seq, entry in enumerate(entries(count), 1):
            # Ten messages a transaction, so with the same time.
            row = (seq, 1_700_000_000_000_000 + seq // 10, entry.msg_id, entry.topic, entry.body)
            db.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum_2(*row)))


STATE_2 = """state (
    format INTEGER NOT NULL, published INTEGER NOT NULL, listeners INTEGER NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE batch (published INTEGER NOT NULL, last INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE name (seq INTEGER PRIMARY KEY, msg_id TEXT NOT NULL, digest BLOB NOT NULL)"""


def checksum_2(seq: int, time: int, msg_id: str | None, topic: bytes, body: bytes) -> int:
    start = (seq ^ time) % (2**32 - 5)
    if msg_id is not None:
        start = zlib.crc32(msg_id.encode(), start)
    return zlib.crc32(body, zlib.crc32(topic, start)) | 1 << 32


def edit(path: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount != 0


def flip_bit(path: Path, seq: int, column: str = "bodies") -> bytes:
    """One bit of the block that begins with a message falls over, where no page of the database shows it.

    Returns:
        The column as it is now.
    """
    joined: bytes
    with contextlib.closing(sqlite3.connect(path)) as db:
        (joined,) = db.execute(f"SELECT {column} FROM block WHERE first = ?", (seq,)).fetchone()  # noqa: S608
    flipped = bytes([joined[0] ^ 0x80]) + joined[1:]
    edit(path, f"UPDATE block SET {column} = ? WHERE first = ?", flipped, seq)  # noqa: S608
    return flipped
