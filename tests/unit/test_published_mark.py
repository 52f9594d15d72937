"""When a message counts as published: one look after it was sent, and never so late that very many go out again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmsg_relay.daemon import publishing
from fedmsg_relay.daemon.publishing import LOOK_MESSAGES, MOST_TWICE, PublishedMark
from fedmsg_relay.journal.guard import JournalGuard
from journaled import entries

COUNT = 3 * MOST_TWICE


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[JournalGuard]:
    guard = JournalGuard(tmp_path / "journal.db")
    assert guard.append(entries(COUNT), [], 0, {})
    yield guard
    guard.close()


def noted(guard: JournalGuard) -> int:
    assert guard.journal is not None
    return guard.journal.published


@pytest.mark.parametrize("step", [700, 4200, LOOK_MESSAGES, COUNT])
def test_under_load_a_kill_brings_out_a_bounded_number_again(
    guard: JournalGuard, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    mark = PublishedMark(guard)
    looks = [0, 0]
    while guard.cursor.sent < COUNT:
        monkeypatch.setattr(publishing, "LOOK_SECONDS", 3600.0)
        for _ in range(30):
            guard.cursor.note_sent(min(COUNT, guard.cursor.sent + min(step, mark.room)))
            mark.look(guard.cursor.sent)
            assert guard.cursor.sent - noted(guard) <= MOST_TWICE
        monkeypatch.setattr(publishing, "LOOK_SECONDS", 0.0)
        mark.look(guard.cursor.sent)
        assert noted(guard) == looks[-1], "libzmq had the time between two looks for these"
        looks.append(guard.cursor.sent)
    assert len(looks) > 3


def test_at_rest_everything_is_noted_at_the_second_look(guard: JournalGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = PublishedMark(guard)
    guard.cursor.note_sent(10)
    monkeypatch.setattr(publishing, "LOOK_SECONDS", 3600.0)
    for _ in range(5):
        mark.look(10)
    assert noted(guard) == 0, "it is not time yet"
    monkeypatch.setattr(publishing, "LOOK_SECONDS", 0.0)
    mark.look(10)
    assert (noted(guard), mark.pending) == (0, True), "these may be in libzmq's queue"
    mark.look(10)
    assert (noted(guard), mark.pending) == (10, False)


def test_the_mark_never_goes_beyond_a_journal_that_replaces_another(
    guard: JournalGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LOOK_SECONDS", 0.0)
    mark = PublishedMark(guard)
    mark.look(900)
    guard.cursor.note_unsent(0)
    guard.cursor.note_sent(5)
    mark.look(5)
    assert noted(guard) <= 5
    mark.look(5)
    assert noted(guard) == 5
