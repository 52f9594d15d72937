"""Retention spares what the bridge has not sent, within a bound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedmsg_relay.journal import spared
from fedmsg_relay.journal.store import Journal
from journaled import entries, held

MOST = 2**40
DAY = 86400.0


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A journal of 100 published messages, one for each day."""
    with closing(Journal(tmp_path / "journal.db")) as journal:
        for day in range(100):
            monkeypatch.setattr("time.time_ns", lambda day=day: int((1_700_000_000 + day * DAY) * 1e9))
            journal.append(entries(1, day, 20_000))
        journal.mark_published(100)
        yield journal


def trimmed(journal: Journal, days: float, keep_bytes: int, sent: int | None) -> list[str | None]:
    while journal.trim(days * DAY, keep_bytes, sent):
        pass
    return [entry.msg_id for entry in held(journal)]


def named(*numbers: int) -> list[str]:
    return [f"2026-{number}" for number in range(*numbers)]


@pytest.mark.parametrize(
    ("sent", "days", "first"),
    [
        (None, 19.5, 80),
        (99, 19.5, 80),
        (60, 100, 0),
        (60, 60, 39),
        (60, 30, 60),  # those from 60 on are not twice as old
        (60, 19.5, 60),
        (60, 10.25, 79),  # beyond twice the age nothing is spared
        (0, 40.25, 19),
    ],
)
def test_by_age_what_is_not_sent_is_kept_twice_as_long(
    journal: Journal, sent: int | None, days: float, first: int
) -> None:
    assert trimmed(journal, days, MOST, sent) == named(first, 100)


def test_by_size_what_is_not_sent_may_have_twice_the_room(journal: Journal) -> None:
    size = journal.size()
    left = trimmed(journal, 3600, int(size * 0.7), 10)
    assert left == named(10, 100)
    left = trimmed(journal, 3600, int(size * 0.2), 10)
    assert 0 < len(left) < 60
    assert left == named(100)[-len(left) :]


def test_the_cursor_is_read_as_it_was_noted(tmp_path: Path) -> None:
    assert spared.cursor(tmp_path) is None
    for cursor in (0, 7, 2**60):
        spared.note(tmp_path, cursor)
        assert spared.cursor(tmp_path) == cursor
    (tmp_path / "bridge.cursor").write_text("nonsense")
    assert spared.cursor(tmp_path) is None
    spared.note(tmp_path / "gone", 5)
