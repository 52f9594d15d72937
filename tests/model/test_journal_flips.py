"""One flipped bit in the journal's notes about itself: no message is lost in silence, and ``check`` finds it."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from fedmsg_relay.commands import integrity
from fedmsg_relay.commands import journal as journal_cli
from fedmsg_relay.errors import ConfigError, RelayError
from fedmsg_relay.journal import block
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.noted_listeners import UNKNOWN
from fedmsg_relay.journal.store import Journal
from journaled import entries

PAGE = 16384
LISTENERS = ["192.0.2.1", "192.0.2.1", "192.0.2.77"]
TAKEN = entries(300, size=100)
WAITING = TAKEN[200:]


@dataclass
class Found:
    """What a relay makes of a journal."""

    published: list[tuple[bytes, bytes]]
    listeners: list[str]
    notices: list[str]


def start(path: Path) -> Found | None:
    """Start with it, and publish all that waits; None where the start is refused, as that of a newer version's is."""
    try:
        guard = JournalGuard(path)
    except ConfigError:
        return None
    published: list[tuple[bytes, bytes]] = []
    for _ in range(10):
        guard.recover()
        listeners = guard.listeners
        while (lot := guard.next_waiting(40)).upto > guard.cursor.sent:
            published += [(record.topic, record.body) for record in lot.records]
            guard.cursor.note_sent(lot.upto)
    guard.close()
    assert guard.cursor.sent == guard.last
    return Found(published, listeners, guard.notices)


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    options = argparse.Namespace(journal=path, json=True)
    try:
        code = journal_cli._with_journal(integrity.check, options)
    except RelayError as error:
        return [str(error)]
    said = json.loads(capsys.readouterr().out)
    assert code == (2 if said["faults"] else 0)
    return list(said["faults"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "good" / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        for start in range(0, 300, 100):
            journal.append(TAKEN[start : start + 100])
            journal.mark_published(min(start + 100, 200))
        journal.remember_listeners(LISTENERS)
    return path


def root(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return (int(page) - 1) * PAGE


def used(content: bytes, at: int, at_most: int = 60) -> list[int]:
    """Where a page of a table holds something: its header, and its rows at its end; of many, some."""
    header = at or 100  # the first page begins with the header of the file
    cells = int.from_bytes(content[header + 3 : header + 5], "big")
    rows = int.from_bytes(content[header + 5 : header + 7], "big")
    places = [*range(header, header + 8 + 2 * cells), *range(at + rows, at + PAGE)]
    random = Random(2026)  # noqa: S311 -- nothing here is secret
    return places if len(places) <= at_most else random.sample(places, at_most // 2)


def flips(path: Path, places: list[int]) -> Iterator[tuple[str, Path]]:
    """A copy of the journal for each bit of these bytes, with that one flipped."""
    content = path.read_bytes()
    for place in places:
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            copy = path.parent.parent / "flipped" / "journal.db"
            copy.parent.mkdir()
            copy.write_bytes(flipped)
            yield f"bit {bit} of byte {place % PAGE}", copy
            shutil.rmtree(copy.parent)


@pytest.mark.parametrize("table", ["state", "tail", "listener"])
def test_a_flipped_bit_in_its_notes_loses_nothing_that_waits_and_is_said(
    path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    loud = 0
    for which, copy in flips(path, used(path.read_bytes(), root(path, table))):
        faults = check(copy, capsys)
        found = start(copy)
        if found is None:
            assert faults, which
            continue
        published = [entry for entry in TAKEN if (entry.topic, entry.body) in found.published]
        assert published[-100:] == WAITING, which
        assert len(published) <= 200, (which, "of what was published before, the last batch at most")
        if published != WAITING or found.listeners != LISTENERS:
            assert found.notices, which
        assert found.listeners == LISTENERS or UNKNOWN in found.listeners, which
        assert bool(found.notices) <= bool(faults), (which, found.notices, faults)
        loud += bool(found.notices)
        assert not [fault for fault in check(copy, capsys) if "note of" in fault], (which, "they are mended")
    assert loud > 50


def test_a_flipped_bit_in_a_block_costs_the_messages_of_that_block(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = path.read_bytes()
    victim = TAKEN[250]
    (first,) = sqlite3.connect(path).execute("SELECT max(first) FROM block WHERE first <= 251").fetchone()
    assert first == 251, "the last block of the journal begins with it"
    at = content.index(f'["{victim.msg_id}"'.encode())
    end = content.index(victim.body) + len(victim.body)
    # From the row's length and number on, which stand before its time and its lengths.
    places = [*range(at - 420, at - 380), at + 5, end - 1]
    for which, copy in flips(path, places):
        faults = check(copy, capsys)
        found = start(copy)
        assert found, which
        lost = [entry for entry in WAITING if (entry.topic, entry.body) not in found.published]
        assert len(lost) <= block.MESSAGES, which
        assert {body for _, body in found.published} <= {entry.body for entry in WAITING}, which
        if lost:
            assert found.notices, which
            assert faults, which


def test_a_flipped_bit_anywhere_in_the_schema_is_survived_or_said(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for which, copy in flips(path, [*range(100, 112), *used(path.read_bytes(), 0)]):
        check(copy, capsys)
        found = start(copy)
        if found is not None:
            lost = [entry for entry in WAITING if (entry.topic, entry.body) not in found.published]
            assert not lost or found.notices, which
