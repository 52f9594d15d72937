"""A chained relay is heard only once its subscription is in force, and a relay that has left does not count."""

from __future__ import annotations

import pytest

from fedmsg_relay.chain.inquirers import MOST, REMEMBERED_SECONDS, Inquirers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_all_hear_when_the_last_inquiry_of_each_says_so(clock: list[float]) -> None:
    asked = Inquirers()
    assert not asked.all_hear
    asked.note(b"one", False)
    assert not asked.all_hear
    asked.note(b"one", True)
    assert asked.all_hear
    asked.note(b"other", False)
    assert not asked.all_hear
    clock[0] += REMEMBERED_SECONDS / 2
    asked.note(b"one", True)
    clock[0] += REMEMBERED_SECONDS / 2 + 0.1
    assert asked.all_hear  # the other one has left
    clock[0] += REMEMBERED_SECONDS
    assert not asked.all_hear


def test_inquirers_are_remembered_within_bounds(clock: list[float]) -> None:
    asked = Inquirers()
    for number in range(MOST + 10):
        asked.note(b"%d" % number, True)
    assert not asked.all_hear
    clock[0] += REMEMBERED_SECONDS + 0.1
    asked.note(b"one", True)
    assert asked.all_hear
