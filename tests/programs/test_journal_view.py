"""The view ``message`` of the journal: sqlite3 alone reads it, message by message, however large the journal is."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from bus import Bus
from fedmsg_relay.journal import numbers
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.store import Journal
from journaled import entries, held
from messages import compare, numbered

SQLITE3 = shutil.which("sqlite3") or "sqlite3"


def sqlite3_says(path: Path, query: str) -> list[str]:
    ran = subprocess.run([SQLITE3, "-readonly", path, query], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_sqlite3_alone_shows_the_newest_messages_of_a_running_relay(bus: Bus) -> None:
    sent = numbered(130)
    bus.publisher.send_all(sent)
    bus.listener.expect(sent)
    last = bus.relay.status()["journal"]["last"]
    path = bus.host.journal_file
    said = sqlite3_says(path, "select seq, topic from message order by seq desc limit 3")
    assert said == [f"{seq}|{sent[0][0].decode()}" for seq in (last, last - 1, last - 2)]
    assert sqlite3_says(path, "select body from message order by seq desc limit 1") == [sent[-1][1].decode()]
    names = sqlite3_says(path, "select msg_id from message where topic = cast('org.example.test.numbered' as blob)")
    assert names == [json.loads(body)["msg_id"] for _, body in sent]
    with contextlib.closing(sqlite3.connect(bus.host.journal_file)) as db:
        rows = db.execute("SELECT topic, body FROM message WHERE seq > ?", (last - 130,)).fetchall()
    compare(rows, sent)


ODD = [
    Entry(b"", b"1", None),
    Entry(b"a", b"", ""),
    Entry("ä".encode(), '"ö\\u0000"'.encode(), 'quo"te\\'),
    Entry(b"b\0c", b'"\0"', "ü\n]"),
    Entry(b"d", b"x" * 200_000, "large"),
    *entries(120),
    Entry(b"", b"", None),
]


def test_the_view_has_what_was_journaled_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(ODD)
        journal.append(ODD[:1])
        assert held(journal) == [*ODD, ODD[0]]
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT topic, body, msg_id FROM message ORDER BY seq").fetchall()
        assert [Entry(*row) for row in rows] == [*ODD, ODD[0]]
        assert db.execute("SELECT count(*) FROM message").fetchone() == (len(ODD) + 1,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT seq, topic FROM message ORDER BY seq DESC LIMIT 3",
        "SELECT * FROM message ORDER BY seq LIMIT 3",
        "SELECT * FROM message WHERE seq = 700",
        "SELECT * FROM message WHERE seq > 700 ORDER BY seq LIMIT 3",
        "SELECT * FROM message WHERE seq BETWEEN 700 AND 702",
    ],
)
def test_a_look_by_seq_takes_no_longer_in_a_large_journal(tmp_path: Path, query: str) -> None:
    work = []
    for size in (1000, 100_000):
        path = tmp_path / f"{size}.db"
        with contextlib.closing(Journal(path)) as journal:
            for start in range(0, size, 1000):
                journal.append(entries(1000, start))
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        with contextlib.closing(sqlite3.connect(path)) as db:
            db.set_progress_handler(count, 10)  # called every ten steps of SQLite's machine
            assert 1 <= len(db.execute(query).fetchall()) <= 3
        work.append(steps)
    small, large = work
    assert large <= small + numbers.AHEAD // 2, "but for the numbers that are yet to come"
