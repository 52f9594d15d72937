"""The quarantine keeps kinds of messages apart: what is whole, what makes room, what can be released."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import quarantine
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.notices import REMOVED
from fedmsg_relay.journal.records import Rejected
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.trust.reasons import Reason
from journaled import entries

HERE = "192.0.2.1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def rejected(reason: str, number: int, size: int = 100, source: str = HERE) -> Rejected:
    body = b"%d " % number + b"x" * size
    return Rejected(str(reason), source, b"topic", body, 5 + len(body))


def kept(journal: Journal) -> list[tuple[str, int, int]]:
    """Reason, number and bytes of the body of each."""
    rows = journal._db.execute("SELECT reason, body FROM quarantine ORDER BY id")
    return [(reason, int(body.split()[0]), len(body)) for reason, body in rows]


def test_messages_that_can_be_released_are_kept_whole(journal: Journal) -> None:
    size = 100_000
    whole = list(Reason)
    journal.append([], [rejected(reason, n, size) for n, reason in enumerate(whole)])
    journal.append([], [rejected("body-not-json", 50, size), rejected("unsigned", 51, size, f"{HERE}/submit")])
    sizes = [length for _, _, length in kept(journal)]
    assert all(length > size for length in sizes[: len(whole)])
    assert sizes[len(whole) :] == [quarantine.FRAME_BYTES] * 2
    assert len(journal.quarantine.releasable()) == len(whole)


def test_no_kind_pushes_out_another(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS", 10)
    journal.append([], [rejected(reason, 0) for reason in ("body-not-json", "unsigned", "trust-unusable")])
    journal.append([], [rejected("body-not-json", n) for n in range(1, 30)])
    assert [row[:2] for row in kept(journal)[:2]] == [("unsigned", 0), ("trust-unusable", 0)]
    journal.append([], [rejected("signature-invalid", n) for n in range(1, 30)])
    assert ("trust-unusable", 0) in [row[:2] for row in kept(journal)]
    assert journal.quarantine.removed_waiting == 0
    journal.append([], [rejected("trust-unusable", n) for n in range(1, 30)])
    numbers = [number for reason, number, _ in kept(journal) if reason == "trust-unusable"]
    assert numbers == list(range(20, 30))
    assert journal.quarantine.removed_waiting == 20


def test_bytes_are_bounded_by_kind_and_counted_after_a_restart(path: Path) -> None:
    keep_bytes = 20 * 1024 * 1024
    journal = Journal(path)
    for number in range(40):
        journal.append([], [rejected("trust-unusable", number, 200_000), rejected("too-large", number, 200_000)])
    while journal.trim(86400, keep_bytes):
        pass
    assert sum(size for reason, _, size in kept(journal) if reason == "trust-unusable") <= keep_bytes // 10
    assert len([1 for reason, _, _ in kept(journal) if reason == "trust-unusable"]) >= 8
    before, size = kept(journal), journal.quarantine.size
    journal.close()
    journal = Journal(path)
    assert (kept(journal), journal.quarantine.size) == (before, size)
    journal.append([], [rejected("unsigned", 99)])
    assert kept(journal)[-1][:2] == ("unsigned", 99)
    journal.close()


def test_a_released_message_leaves_with_the_entry_that_it_becomes(journal: Journal) -> None:
    journal.append([], [rejected("trust-unusable", n) for n in range(5)])
    first, second, *_ = journal.quarantine.releasable()
    assert journal.quarantine.read(first) == rejected("trust-unusable", 0)
    size = journal.quarantine.size
    journal.append(entries(2), released=[first, second])
    assert [number for _, number, _ in kept(journal)] == [2, 3, 4]
    assert journal.quarantine.size == size * 3 // 5
    assert journal.quarantine.read(first) is None
    journal.append([], [rejected("trust-unusable", 5)])
    assert [number for _, number, _ in kept(journal)] == [2, 3, 4, 5]


def test_a_transaction_that_fails_releases_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append([], [rejected("trust-unusable", n) for n in range(5)])
    before = journal.quarantine.releasable()

    def fail(*_: object) -> None:
        raise JournalError("no room")

    monkeypatch.setattr(journal.quarantine, "add", fail)
    with pytest.raises(JournalError):
        journal.append(entries(1), [rejected("unsigned", 9)], released=before[:3])
    assert journal.quarantine.releasable() == before
    assert (journal.last, len(kept(journal))) == (0, 5)


def test_what_waits_takes_room_from_messages_only_while_it_is_there(journal: Journal) -> None:
    keep_bytes = 20 * 1024 * 1024
    assert journal.quarantine.reserved(keep_bytes) == quarantine.share(keep_bytes)
    journal.append([], [rejected("trust-unusable", 0, 200_000)])
    assert journal.quarantine.reserved(keep_bytes) == quarantine.share(keep_bytes) + journal.quarantine.size


def test_a_guard_tells_of_what_waited_and_had_to_make_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS", 10)
    guard = JournalGuard(path)
    assert guard.append([], [rejected("trust-unusable", n) for n in range(10)], 0, {})
    assert guard.notices == []
    assert guard.append([], [rejected("trust-unusable", n) for n in range(3)], 0, {})
    assert guard.notices == [f"3{REMOVED}"]
    guard.close()


def test_a_step_of_retention_that_fails_forgets_no_message(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append([], [rejected("trust-unusable", n) for n in range(10)])
    before = journal.quarantine.releasable()
    monkeypatch.setattr(quarantine, "ROWS", 4)
    remove = journal.quarantine._remove

    def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(journal.quarantine, "_remove", fail)
    with pytest.raises(JournalError):
        journal.trim(86400, 2**30)
    assert (journal.quarantine.releasable(), journal.quarantine.removed_waiting) == (before, 0)
    monkeypatch.setattr(journal.quarantine, "_remove", remove)
    while journal.trim(86400, 2**30):
        pass
    assert (journal.quarantine.releasable(), journal.quarantine.removed_waiting) == (before[6:], 6)
    monkeypatch.setattr(journal.quarantine, "_remove", fail)
    with pytest.raises(JournalError):  # a release that fails takes back no count
        journal.append(entries(1), released=before[6:7])
    assert (journal.quarantine.releasable(), journal.quarantine.removed_waiting) == (before[6:], 6)
