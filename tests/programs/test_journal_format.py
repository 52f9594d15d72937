"""The journal's format: that of before is converted, and what is none is told in one line or set aside."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmsg_relay.errors import JournalCorruptError
from fedmsg_relay.journal import broken, position, schema
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.salvage import set_aside
from fedmsg_relay.journal.store import Journal
from harness import Host, Relay
from journaled import entries, held
from wire import Sockets, accepted, envelope, join

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

COMMANDS = [["ls"], ["show", "1"], ["tail"], ["export"], ["quarantine"], ["check"]]


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


def edit(path: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_a_journal_of_format_1_is_converted_in_place_and_its_messages_stay(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    make_format_1(path, 30)
    before = rows(path, "SELECT * FROM message")
    with contextlib.closing(Journal(path)) as journal:
        assert (journal.published, journal.last, journal.listeners()) == (30, 50, ["127.0.0.1"])
        assert journal.faults == []
        assert held(journal) == entries(50)
        journal.append(entries(3, start=50))
        journal.mark_published(51)
    assert rows(path, "SELECT * FROM message WHERE seq <= 50") == before
    with contextlib.closing(Journal(path)) as journal:
        assert (journal.published, journal.last) == (51, 53)
        assert held(journal) == entries(53)


def test_a_journal_of_format_1_is_read_before_it_is_converted(host: Host) -> None:
    make_format_1(host.journal_file, 50)
    before = host.journal_file.read_bytes()
    ran = host.run("fedmsg-relay", "journal", "check")
    assert (ran.code, ran.stdout) == (0, "OK - 50 messages\n")
    assert len(host.run("fedmsg-relay", "journal", "ls").stdout.splitlines()) == 50
    assert host.journal_file.read_bytes() == before


@pytest.mark.parametrize("published", [-1, 51, 2**40, "x"])
def test_what_format_1_can_not_have_noted_is_not_taken_for_true(tmp_path: Path, published: object) -> None:
    path = tmp_path / "journal.db"
    make_format_1(path, 50)
    edit(path, "UPDATE state SET published = ?", published)
    with pytest.raises(JournalCorruptError, match="note of what is published"):
        Journal(path)


def test_what_waits_in_format_1_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    make_format_1(path, 30)
    aside = set_aside(path)
    with contextlib.closing(Journal(path)) as journal:
        assert journal.carry_over(aside, None, 0) == 20
        assert held(journal) == entries(20, start=30)


def no_row(path: Path) -> None:
    edit(path, "DELETE FROM state")


def no_rows(path: Path) -> None:
    edit(path, "DELETE FROM state")
    edit(path, "DELETE FROM batch")


def no_table(path: Path) -> None:
    edit(path, "DROP TABLE state")


def wrong_types(path: Path) -> None:
    edit(path, "UPDATE state SET format = 'x', published = x'00'")


def unknown_format(path: Path) -> None:
    edit(path, "UPDATE state SET format = 0")


def newer_format(path: Path) -> None:
    edit(path, "UPDATE state SET format = 99")


@pytest.mark.parametrize("ruin", [no_row, no_rows, no_table, wrong_types, unknown_format, newer_format])
def test_a_journal_without_what_it_notes_is_told_in_one_line_by_every_command(
    host: Host, ruin: Callable[[Path], None]
) -> None:
    with contextlib.closing(Journal(host.journal_file)) as journal:
        journal.append(entries(3))
    ruin(host.journal_file)
    for command in COMMANDS:
        ran = host.run("fedmsg-relay", "journal", *command)
        assert "Traceback" not in ran.stderr, command
        assert len(ran.stderr.splitlines()) <= 1, command
    assert ran.code == 2, "check finds it"
    assert ran.stdout.startswith("CRITICAL - ")
    ran = host.run("fedmsg-relay", "check-config")
    assert ran.code == (78 if ruin is newer_format else 0)
    assert len(ran.stderr.splitlines()) == (ruin is newer_format)


@pytest.mark.parametrize("ruin", [no_row, no_table, wrong_types, unknown_format])
def test_what_waits_comes_out_though_the_note_of_what_is_published_is_lost(
    host: Host, relay: Relay, sockets: Sockets, ruin: Callable[[Path], None]
) -> None:
    host.configure_submit()
    relay.start()
    listener = sockets.listener(host.outbound)
    join(sockets.publisher(host.inbound), listener)
    client = sockets.submitter(host.submit)
    sent = [envelope("org.example.test.numbered", n) for n in range(20)]
    _, last = client.ask(*sent[:10])["seq"]
    listener.expect(sent[:10])
    relay.settled()
    relay.stop()
    with contextlib.closing(Journal(host.journal_file)) as journal:  # what waits after a kill
        journal.append([(*message, None) for message in sent[10:]])  # type: ignore[misc]
    ruin(host.journal_file)

    relay.start()
    listener.expect(sent[10:])
    assert relay.settled()["damaged"] == 0
    assert relay.log_lines(" ERROR ", "journal")
    ran = host.run("fedmsg-relay", "status")
    assert (ran.code, ran.stdout[:10]) == (1, "WARNING - ")
    assert host.run("fedmsg-relay", "journal", "check").code == 0, "it is mended, or there is a new one"
    client = sockets.submitter(host.submit)
    assert client.ask(envelope("org.example.test.numbered", 20)) == accepted(last + 11, last + 11)


@pytest.mark.parametrize(
    "code",
    ["ERROR", "CONSTRAINT", "MISMATCH", "CORRUPT", "NOTADB", "SCHEMA", "IOERR_SHORT_READ", "IOERR_READ", "FORMAT"],
)
def test_what_will_never_work_with_this_file_is_a_broken_journal(code: str) -> None:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert broken.is_broken(error)


@pytest.mark.parametrize("code", ["BUSY", "FULL", "READONLY", "CANTOPEN", "IOERR_WRITE", "IOERR_FSYNC", "NOMEM"])
def test_what_may_pass_is_none(code: str) -> None:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert not broken.is_broken(error)


@pytest.mark.parametrize("statement", ["DROP TABLE quarantine", "DROP TABLE listener", "ALTER TABLE message DROP crc"])
def test_a_journal_whose_tables_are_not_those_is_set_aside_and_what_waits_is_carried_over(
    tmp_path: Path, statement: str
) -> None:
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


def test_a_number_that_is_used_already_sets_the_journal_aside_and_not_every_batch_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(3))
        journal.last = 1  # as of a bit that flips in memory
        with pytest.raises(JournalCorruptError):
            journal.append(entries(1))


def test_a_journal_that_can_not_be_read_again_at_once_is_not_set_aside_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"garbage" * 1000)
    guard = JournalGuard(path)
    for _ in range(3):
        guard._failed(JournalCorruptError("made up"))
        guard.recover()
    assert len([*tmp_path.glob("journal.db.corrupt-*")]) == 1
    assert guard.fault
    guard._next_try = 0.0
    guard.recover()
    assert not guard.fault
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
