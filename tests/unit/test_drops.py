"""The log lines for dropped messages: few for each reason, in bounded memory whatever a peer gives as the reason."""

from __future__ import annotations

import logging

import pytest

from fedmsg_relay.runtime.drops import INTERVAL, DropLog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_reason_has_a_line_at_once_and_then_one_an_interval(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    drops = DropLog()
    with caplog.at_level(logging.WARNING, "fedmsg-relay"):
        for _ in range(30):
            drops.note("too-large", "192.0.2.1")
            drops.report()
            clock[0] += INTERVAL / 10
        drops.report(everything=True)
    assert [record.message for record in caplog.records] == [
        f"dropped {text}: too-large (last from 192.0.2.1)"
        for text in ("1 message", "10 messages", "10 messages", "9 messages")
    ]


def test_reasons_that_do_not_come_again_are_forgotten(clock: list[float]) -> None:
    drops = DropLog()
    for number in range(1000):
        drops.note(f"reason-{number}", "192.0.2.1")
        drops.report()
        clock[0] += 1.0
    assert len(drops._pending) <= INTERVAL + 1
