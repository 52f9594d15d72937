"""The guard of the journal: damage costs as little as it may, and a damaged file is not read again at once."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.block import MESSAGES
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.opener import Opener, Previous
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.window import Window
from journaled import entries


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def append(guard: JournalGuard, messages: list[Entry]) -> None:
    turn = Turn(guard.last)
    turn.add_all(messages)
    assert guard.append(turn.entries, [], 0, turn.known)


@pytest.mark.parametrize("column", ["topic_ends", "body_ends"])
def test_a_retry_of_a_message_in_a_damaged_block_costs_no_other_block(column: str, path: Path) -> None:
    guard = JournalGuard(path)
    append(guard, entries(3 * MESSAGES))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        damage = f"UPDATE block SET {column} = '{{' || substr({column}, 2) WHERE first = ?"  # noqa: S608 -- two columns
        changed = db.execute(damage, (MESSAGES + 1,))
        assert changed.rowcount == 1
    (damaged,) = entries(1, start=MESSAGES + 5)
    (sound,) = entries(1)
    assert not guard.is_same(MESSAGES + 6, None, damaged)
    assert guard.read(MESSAGES + 6) is None
    assert not guard.fault
    assert guard.is_same(1, None, sound)
    guard.recover()
    assert guard.last == 3 * MESSAGES
    assert not list(path.parent.glob("*.corrupt-*"))
    guard.close()


def test_a_file_that_is_known_to_be_damaged_is_not_read_again_before_it_may(path: Path) -> None:
    """Its note of what is published may be older, so messages would go out again each time."""
    opener, previous = Opener(path), Previous(Cursor(), 0, Window(10))
    for corrupt in (False, True):
        opener.open(previous, corrupt).journal.close()
    for corrupt in (True, False):
        with pytest.raises(JournalError, match="set aside less than 60 s ago"):
            opener.open(previous, corrupt)
    assert len(list(path.parent.glob("*.corrupt-*Z"))) == 1
