"""fedmsg-relay journal with a file that is not a journal of this version: no command takes it for one."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmsg_relay.errors import EX_CONFIG, EX_UNAVAILABLE
from fedmsg_relay.journal.store import Journal
from harness import Host
from journal_commands import journal

READERS = ["ls", "show 1", "tail", "export", "waiting", "quarantine", "convert"]


def another_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE a (x)")


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda _: None, "No such file or directory"),
    "an empty file": (Path.touch, "it is not a journal"),
    "another database": (another_database, "it is not a journal"),
    "text": (lambda path: path.write_text("no journal\n" * 1000), "file is not a database"),
    "a directory": (Path.mkdir, "Is a directory"),
    "a FIFO": (os.mkfifo, "not a regular file"),
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(("make", "fault"), ODD.values(), ids=ODD.keys())
def test_what_is_not_a_journal_is_said(host: Host, make: Callable[[Path], object], fault: str, command: str) -> None:
    make(host.journal_file)
    ran = journal(host, *command.split())
    assert (ran.code, ran.stdout) == (EX_UNAVAILABLE, "")
    assert ran.one_error_line().startswith(f"fedmsg-relay: journal {host.journal_file}: {fault}")


def test_check_does_not_wait_for_a_fifo(host: Host) -> None:
    os.mkfifo(host.journal_file)
    ran = journal(host, "check")
    assert ran.code == EX_UNAVAILABLE
    assert "not a regular file" in ran.one_error_line()


@pytest.fixture
def newer(host: Host) -> Host:
    with contextlib.closing(Journal(host.journal_file)), contextlib.closing(sqlite3.connect(host.journal_file)) as db:
        db.execute("UPDATE state SET format = 99")
        db.commit()
    return host


@pytest.mark.parametrize("command", READERS)
def test_a_journal_of_a_newer_version_is_neither_shown_nor_called_converted(newer: Host, command: str) -> None:
    ran = journal(newer, *command.split())
    assert (ran.code, ran.stdout) == (EX_CONFIG, "")
    assert "its format 99 is newer than this version reads" in ran.one_error_line()


def test_check_says_that_a_newer_version_wrote_it(newer: Host) -> None:
    ran = journal(newer, "check")
    assert (ran.code, ran.stderr, len(ran.stdout.splitlines())) == (2, "", 1)
    assert "its format 99 is newer" in ran.stdout
    assert "no relay has written" not in ran.stdout


def test_check_prints_one_line_whatever_sqlite_says(host: Host) -> None:
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db:
        db.execute("CREATE TABLE a (x)")
        db.executemany("INSERT INTO a VALUES (?)", [(os.urandom(900),)] * 500)
        db.execute("DELETE FROM a WHERE rowid < 100")
        db.commit()
    content = bytearray(host.journal_file.read_bytes())
    content[36:40] = (7).to_bytes(4, "big")  # number of free pages
    host.journal_file.write_bytes(content)
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db:
        (fault,) = db.execute("PRAGMA integrity_check").fetchone()
    ran = journal(host, "check")
    assert (ran.code, ran.stderr) == (2, "")
    assert ran.stdout == f"CRITICAL - 0 messages; {' '.join(fault.split())}\n"
    assert json.loads(journal(host, "check", "--json").stdout)["faults"] == [fault]
