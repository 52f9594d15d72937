"""The journal's format: earlier ones are converted; a file that is not a journal is reported or set aside."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from fedmsg_relay.errors import JournalCorruptError, JournalError
from fedmsg_relay.journal import broken, earlier, opener, position, schema
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.salvage import set_aside
from fedmsg_relay.journal.store import Journal
from journaled import edit, entries, held, make_format_1, make_format_2


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


MAKERS = {1: make_format_1, 2: make_format_2}


@pytest.mark.parametrize("form", MAKERS)
def test_a_journal_of_an_earlier_format_is_converted_with_all_its_messages(tmp_path: Path, form: int) -> None:
    path = tmp_path / "journal.db"
    MAKERS[form](path, 30)
    before = rows(path, "SELECT seq, time, msg_id, topic, body FROM message")
    with contextlib.closing(Journal(path)) as journal:
        assert (journal.published, journal.last, journal.listeners()) == (30, 50, ["127.0.0.1"])
        assert journal.faults == []
        assert held(journal) == entries(50)
        assert journal.is_same(7, entries(7)[-1])
        journal.append(entries(3, start=50))
        journal.mark_published(51)
    assert rows(path, "SELECT * FROM message WHERE seq <= 50") == before
    with contextlib.closing(Journal(path)) as journal:
        assert (journal.published, journal.last) == (51, 53)
        assert held(journal) == entries(53)


@pytest.mark.parametrize("form", MAKERS)
def test_a_conversion_that_is_killed_goes_on_at_the_next_start(
    tmp_path: Path, form: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "STEP_MESSAGES", 7)
    path = tmp_path / "journal.db"
    MAKERS[form](path, 30)
    steps = 0
    take_step = earlier._step

    def killed(db: sqlite3.Connection) -> int:
        nonlocal steps
        steps += 1
        if steps % 3 == 0:
            raise KeyboardInterrupt
        return take_step(db)

    monkeypatch.setattr(earlier, "_step", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            Journal(path)
        with pytest.raises(JournalError, match="not converted to the end"):
            schema.open_to_look(path)
        # What is there so far can be carried over, each message once.
        aside = tmp_path / f"aside-{steps}" / "journal.db"
        aside.parent.mkdir()
        shutil.copy(path, aside)
        with contextlib.closing(Journal(aside.parent / "new.db")) as journal:
            assert journal.carry_over(aside, 0, 0) == 50
            assert held(journal) == entries(50)
    monkeypatch.setattr(earlier, "_step", take_step)
    with contextlib.closing(Journal(path)) as journal:
        assert (journal.published, journal.last, held(journal)) == (30, 50, entries(50))
    assert not schema.needs_conversion(path)


def test_a_damaged_message_stays_damaged_when_it_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    make_format_2(path, 0)
    edit(path, "UPDATE message SET body = ? WHERE seq = 15", b'"changed"')
    with contextlib.closing(Journal(path)) as journal:
        records, upto = journal.waiting(0, 100)
    assert [record.seq for record in records] == [*range(1, 15), *range(16, 51)]
    assert upto == 50


def test_a_note_of_format_2_that_is_damaged_is_made_good_by_the_other(tmp_path: Path) -> None:
    for table in ("state", "batch"):
        path = tmp_path / table / "journal.db"
        make_format_2(path, 30)
        edit(path, f"UPDATE {table} SET published = 99")  # noqa: S608
        with contextlib.closing(Journal(path)) as journal:
            assert (journal.published, journal.last, held(journal)) == (30, 50, entries(50))
            assert bool(journal.faults) == (table == "state"), "whose listeners are not known"


def test_a_reader_names_the_command_that_converts(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    make_format_2(path, 0)
    with pytest.raises(JournalError, match=r"it has format 2: .* `fedmsg-relay journal convert`"):
        schema.open_to_look(path)


@pytest.mark.parametrize("published", [-1, 51, 2**40, "x"])
def test_a_note_that_format_1_cannot_have_made_is_not_believed(tmp_path: Path, published: object) -> None:
    path = tmp_path / "journal.db"
    make_format_1(path, 50)
    edit(path, "UPDATE state SET published = ?", published)
    with pytest.raises(JournalCorruptError, match="note of what is published"):
        Journal(path)


@pytest.mark.parametrize("form", MAKERS)
def test_waiting_messages_of_an_earlier_format_are_carried_over(tmp_path: Path, form: int) -> None:
    path = tmp_path / "journal.db"
    MAKERS[form](path, 30)
    aside = set_aside(path)
    with contextlib.closing(Journal(path)) as journal:
        assert journal.carry_over(aside, None, 0) == 20
        assert held(journal) == entries(20, start=30)


@pytest.mark.parametrize(
    "code",
    ["ERROR", "CONSTRAINT", "MISMATCH", "CORRUPT", "NOTADB", "SCHEMA", "IOERR_SHORT_READ", "IOERR_READ", "FORMAT"],
)
def test_an_error_that_will_stay_is_a_broken_journal(code: str) -> None:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert broken.is_broken(error)


@pytest.mark.parametrize("code", ["BUSY", "FULL", "READONLY", "CANTOPEN", "IOERR_WRITE", "IOERR_FSYNC", "NOMEM"])
def test_an_error_that_may_pass_is_not_a_broken_journal(code: str) -> None:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert not broken.is_broken(error)


@pytest.mark.parametrize("statement", ["DROP TABLE quarantine", "DROP TABLE listener", "ALTER TABLE block DROP crc"])
def test_a_journal_with_wrong_tables_is_set_aside_and_its_messages_saved(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(10))
        journal.mark_published(4)
    edit(path, statement)
    guard = JournalGuard(path)
    assert not guard.fault
    assert guard.notices
    carried = 0 if "crc" in statement else 6
    assert len(guard.next_waiting(100).records) == carried
    guard.close()


def test_a_seq_that_is_used_already_is_a_broken_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(3))
        journal.last = 1  # as of a bit that flips in memory
        with pytest.raises(JournalCorruptError):
            journal.append(entries(1))


def test_a_journal_broken_again_at_once_is_not_set_aside_a_second_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"garbage" * 1000)
    guard = JournalGuard(path)
    for _ in range(3):
        guard._fault.note(JournalCorruptError("made up"))
        guard.recover()
    assert len([*tmp_path.glob("journal.db.corrupt-*")]) == 1
    guard._fault.next_try = 0.0
    guard.recover()
    assert "set aside less than 60 s ago" in guard.fault
    guard._fault.next_try = guard._opener._left_alone_until = 0.0  # a minute later
    guard.recover()
    assert not guard.fault
    guard.close()


def test_a_broken_journal_that_may_not_be_set_aside_yet_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"garbage" * 1000)
    guard = JournalGuard(path)
    guard.close()
    guard.journal = None
    path.write_bytes(b"garbage" * 1000)
    guard._fault.note(JournalError("made up"))
    opened: list[Path] = []

    class Watched(Journal):
        def __init__(self, path: Path) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(opener, "Journal", Watched)
    for _ in range(5):
        guard._fault.next_try = 0.0  # as if a second had passed
        guard.recover()
    assert "less than 60 s ago" in guard.fault
    assert len(opened) == 1, "the first time shows that it is broken"
    guard._opener._next_aside = guard._opener._left_alone_until = 0.0  # as if that time had passed
    guard._fault.next_try = 0.0
    guard.recover()
    assert not guard.fault
    assert len([*tmp_path.glob("journal.db.corrupt-*")]) == 2
    guard.close()


def test_a_journal_that_is_set_aside_and_removed_is_begun_anew(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.db")) as journal:
        assert journal.carry_over(tmp_path / "gone", 3, 5) == 0
        assert (journal.published, journal.last) == (3, 5)


def test_the_format_that_is_written_is_the_one_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal(path).close()
    assert rows(path, "SELECT format FROM state") == [(position.FORMAT,)]
    schema.refuse_newer(path)
