"""By when a message was published: what the journal notes of it, and what a reader is told."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import position, publish_times, schema
from fedmsg_relay.journal.salvage import set_aside
from fedmsg_relay.journal.store import Journal
from journaled import edit, entries, held, make_format_1, make_format_2

BEGAN = 1_700_000_000
DAY = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(100))
        yield journal


@pytest.fixture
def each_note_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_times, "ROW_SECONDS", 0.0)


@pytest.fixture
def all_notes_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_times, "ROW_SECONDS", 3600.0)


def publish(journal: Journal, monkeypatch: pytest.MonkeyPatch, seq: int, second: float) -> None:
    monkeypatch.setattr("time.time_ns", lambda: int((BEGAN + second) * 1e9))
    journal.mark_published(seq)


def told(path: Path, *numbers: int) -> list[float | None]:
    """Seconds after the beginning by which each of these messages was published."""
    with contextlib.closing(schema.open_to_look(path)) as db:
        found = [publish_times.find(db, seq) for seq in numbers]
    return [None if each is None else each / 1e6 - BEGAN for each in found]


def rows(journal: Journal) -> int:
    return int(journal._db.execute("SELECT count(*) FROM publish_time").fetchone()[0])


@pytest.mark.usefixtures("each_note_a_row")
def test_each_message_has_the_time_of_the_first_note_that_covers_it(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq, second in ((10, 1.0), (11, 2.5), (90, 4.0)):
        publish(journal, monkeypatch, seq, second)
    assert told(path, 1, 10, 11, 12, 90, 91) == [1.0, 1.0, 2.5, 4.0, 4.0, None]


@pytest.mark.usefixtures("all_notes_a_row")
def test_notes_of_one_second_share_a_row_with_the_latest_time(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(1, 101):
        publish(journal, monkeypatch, seq, seq / 200)
    assert rows(journal) == 1
    assert told(path, 1, 50, 100) == [0.5, 0.5, 0.5]


@pytest.mark.usefixtures("each_note_a_row")
def test_a_stop_that_publishes_nothing_more_leaves_the_time_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(5))
        publish(journal, monkeypatch, 5, 1.0)
        publish(journal, monkeypatch, 5, 99.0)
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(5, start=5))
        publish(journal, monkeypatch, 10, 200.0)
    assert told(path, 5, 6, 10) == [1.0, 200.0, 200.0]


@pytest.mark.parametrize("make", [make_format_1, make_format_2])
def test_what_was_published_in_an_earlier_format_has_no_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, int], None]
) -> None:
    make(path, 30)
    with contextlib.closing(Journal(path)) as journal:
        assert told(path, 30) == [None]
        publish(journal, monkeypatch, 40, 7.0)
    assert told(path, 1, 30, 31, 40, 41) == [None, None, 7.0, 7.0, None]


@pytest.mark.usefixtures("each_note_a_row")
def test_what_a_version_without_these_times_published_has_no_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(30))
        publish(journal, monkeypatch, 10, 1.0)
    with contextlib.closing(Journal(path)) as journal:  # which notes what is published as that version does
        position.note_published(journal._db, 20, journal._listeners.seal)
    assert told(path, 10, 11, 20) == [1.0, None, None]
    with contextlib.closing(Journal(path)) as journal:
        publish(journal, monkeypatch, 30, 9.0)
    assert told(path, 10, 11, 20, 21, 30) == [1.0, None, None, 9.0, 9.0]


@pytest.mark.usefixtures("each_note_a_row")
def test_a_journal_that_such_a_version_made_gets_the_table(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(30))
        journal.mark_published(20)
    edit(path, "DROP TABLE publish_time")
    assert told(path, 20) == [None], "also where only a reader looks"
    with contextlib.closing(Journal(path)) as journal:
        publish(journal, monkeypatch, 25, 3.0)
        assert (journal.published, held(journal)) == (25, entries(30))
    assert told(path, 20, 21, 26) == [None, 3.0, None]


@pytest.mark.usefixtures("each_note_a_row")
def test_a_journal_that_takes_the_place_of_a_broken_one_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(30))
        publish(journal, monkeypatch, 20, 1.0)
    aside = set_aside(path)
    with contextlib.closing(Journal(path)) as journal:
        assert journal.carry_over(aside, None, 0) == 10
        publish(journal, monkeypatch, 25, 5.0)
    assert told(path, 21, 25, 26) == [5.0, 5.0, None]


@pytest.mark.usefixtures("each_note_a_row")
def test_times_go_with_the_messages_that_retention_removes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_times, "STEP_ROWS", 7)
    with contextlib.closing(Journal(path)) as journal:
        for number in range(40):
            monkeypatch.setattr("time.time_ns", lambda number=number: (BEGAN + number * DAY) * 10**9)
            journal.append(entries(1, start=number))
            journal.mark_published(number + 1)
        while journal.trim(9.5 * DAY, 2**40):
            pass
        kept = [record.seq for record in journal.waiting(0, 100).records]
        assert kept == [*range(31, 41)]
        counts = [rows(journal)]
        for number in range(40, 50):
            journal.append(entries(1, start=number))
            journal.mark_published(number + 1)
            counts.append(rows(journal))
        assert counts[:3] == [40, 34, 28], "in steps"
        assert counts[-1] == 10 + len(kept)
    assert told(path, kept[0]) == [30.0 * DAY]


@pytest.mark.usefixtures("all_notes_a_row")
@pytest.mark.parametrize("first", [True, False])
def test_a_note_that_could_not_be_written_is_written_later(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    if first:
        journal._db.execute("DROP TABLE publish_time")
    else:
        publish(journal, monkeypatch, 10, 1.0)

    def fill(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as full:
        full.setattr(journal._times, "_insert", fill)
        with pytest.raises(JournalError, match="full"):
            publish(journal, monkeypatch, 20, 2.0)
    assert journal.published == (0 if first else 10)
    publish(journal, monkeypatch, 30, 3.0)
    assert told(path, 10, 11, 30, 31) == [3.0, 3.0, 3.0, None]
    publish(journal, monkeypatch, 40, 4.0)
    assert rows(journal) == 1


@pytest.mark.usefixtures("each_note_a_row")
@pytest.mark.parametrize("change", ["time = time + 1", "seq = seq + 1", "time = 'x'", "crc = crc + 1"])
def test_a_damaged_time_is_not_told(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    publish(journal, monkeypatch, 10, 1.0)
    publish(journal, monkeypatch, 20, 2.0)
    journal._db.execute(f"UPDATE publish_time SET {change} WHERE seq = 10")  # noqa: S608
    assert told(path, 5, 15) == [None, 2.0]
