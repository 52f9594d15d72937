"""Retention removes what is too old or too much; the quarantine has a share of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmsg_relay.journal import quarantine
from fedmsg_relay.journal.records import Rejected
from fedmsg_relay.journal.store import Journal
from journaled import entries, held

DAY = 86400.0
MUCH = 2**40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(path)) as journal:
        yield journal


def at(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    monkeypatch.setattr("time.time_ns", lambda: int((1_700_000_000 + days * DAY) * 1e9))


def trim_all(journal: Journal, days: float, keep_bytes: int = MUCH) -> int:
    steps = 0
    while journal.trim(days * DAY, keep_bytes):
        steps += 1
        assert steps < 1000
    return steps


def test_messages_that_are_too_old_go_and_the_rest_stays(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(5):
        at(monkeypatch, day)
        journal.append(entries(10, start=10 * day))
    journal.mark_published(50)
    at(monkeypatch, 5)
    trim_all(journal, days=2.5)
    assert held(journal) == entries(20, start=30)


def test_unpublished_messages_stay_however_old_they_are(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 0)
    journal.append(entries(3))
    journal.append(entries(7, start=3))
    journal.mark_published(4)
    at(monkeypatch, 100)
    trim_all(journal, days=1)
    assert held(journal) == entries(7, start=3), "message 4 is in a block with others"
    trim_all(journal, days=1, keep_bytes=0)
    assert held(journal) == entries(7, start=3)


def test_the_newest_stays_so_that_no_number_is_used_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 0)
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(8))
        journal.append(entries(2, start=8))
        journal.mark_published(10)
        at(monkeypatch, 100)
        trim_all(journal, days=1)
        assert held(journal) == entries(2, start=8)
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(1))
        assert journal.last == 11


def test_space_is_given_back_while_it_is_open(journal: Journal, path: Path) -> None:
    for lot in range(30):
        journal.append(entries(1000, start=1000 * lot, size=1000))
    journal.mark_published(30_000)
    grown = journal.size()
    assert grown > 30 * 2**20
    assert trim_all(journal, days=1, keep_bytes=8 * 2**20) > 1, "retention goes in steps"
    assert journal.size() <= 8 * 2**20
    last = journal.last
    for lot in range(3):
        journal.append(entries(1000, start=last + 1000 * lot, size=1000))
    journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size < grown
    kept = held(journal)
    assert kept == entries(len(kept), start=33_000 - len(kept), size=1000)


def test_a_clock_that_steps_back_costs_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Order is by number, not by time; messages journaled in between are neither lost nor kept for ever."""
    with contextlib.closing(Journal(path)) as journal:
        for hour, lot in ((0, 0), (1, 1), (0.1, 2), (0.2, 3), (1.5, 4)):
            at(monkeypatch, hour / 24)
            journal.append(entries(10, start=10 * lot))
        assert held(journal) == entries(50)
        assert [record.seq for record in journal.waiting(0, 100).records] == list(range(1, 51))
        journal.mark_published(50)
        trim_all(journal, days=1 / 24)  # all older than 0.5 h: the second lot, from before the step, is not
        assert held(journal) == entries(40, start=10)
        at(monkeypatch, 2.1 / 24)
        trim_all(journal, days=1 / 24)
        assert held(journal) == entries(10, start=40)
    with contextlib.closing(Journal(path)) as journal:
        assert [(name, seq) for name, (seq, _) in journal.recent(100)] == [(f"2026-{n}", n + 1) for n in range(50)]


def test_the_quarantine_is_bounded_in_rows_and_bytes(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS", 100)
    for lot in range(25):
        batch = [
            Rejected("too-large", "10.0.0.1", b"%d" % n, b"x" * 200_000, 200_001)
            for n in range(10 * lot, 10 * lot + 10)
        ]
        journal.append([], batch)
    rows = journal._db.execute("SELECT topic, length(body), size FROM quarantine ORDER BY id").fetchall()
    assert rows == [(b"%d" % n, quarantine.FRAME_BYTES, 200_001) for n in range(150, 250)]


def flood(journal: Journal, lots: int) -> None:
    for _ in range(lots):
        journal.append([], [Rejected("too-large", "10.0.0.1", b"x" * 9000, b"x" * 9000, 18_000)] * 100)


def test_the_quarantine_pushes_out_no_message(journal: Journal) -> None:
    """Each has bounds of its own."""
    keep_bytes = 4 * 2**20
    journal.append(entries(300, size=1000))
    journal.mark_published(300)
    flood(journal, lots=20)
    trim_all(journal, days=1, keep_bytes=keep_bytes)
    assert held(journal) == entries(300, size=1000)
    (quarantined,) = journal._db.execute("SELECT sum(length(topic) + length(body)) FROM quarantine").fetchone()
    assert keep_bytes // 40 < quarantined <= keep_bytes // 10
    flood(journal, lots=1)
    (again,) = journal._db.execute("SELECT sum(length(topic) + length(body)) FROM quarantine").fetchone()
    assert again <= keep_bytes // 10, "at once"
    assert journal.size() <= keep_bytes


def test_messages_push_nothing_out_of_the_quarantine(journal: Journal) -> None:
    flood(journal, lots=1)
    trim_all(journal, days=1, keep_bytes=40 * 2**20)
    before = journal._db.execute("SELECT id FROM quarantine").fetchall()
    for lot in range(60):
        journal.append(entries(1000, start=1000 * lot, size=1000))
        journal.mark_published(journal.last)
        trim_all(journal, days=1, keep_bytes=40 * 2**20)
    assert journal._db.execute("SELECT id FROM quarantine").fetchall() == before
    assert journal.size() <= 40 * 2**20


def test_the_quarantine_keeps_to_its_share_of_a_large_journal(journal: Journal) -> None:
    flood(journal, lots=20)
    assert journal.size() < quarantine.MOST_BYTES + 2**20


def test_a_flood_larger_than_the_quarantine_leaves_its_newest(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "ROWS", 100)
    journal.append(entries(3), [Rejected("too-large", "10.0.0.1", b"%d" % n, b"", 1) for n in range(350)])
    rows = journal._db.execute("SELECT topic FROM quarantine ORDER BY id").fetchall()
    assert rows == [(b"%d" % n,) for n in range(250, 350)]
    assert held(journal) == entries(3)


def test_the_quarantine_counts_on_after_a_restart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS", 10)
    for lot in range(4):
        with contextlib.closing(Journal(path)) as journal:
            journal.append([], [Rejected("too-deep", "::1", b"%d" % n, b"", 1) for n in range(6 * lot, 6 * lot + 6)])
            rows = journal._db.execute("SELECT topic FROM quarantine ORDER BY id").fetchall()
    assert rows == [(b"%d" % n,) for n in range(14, 24)]
