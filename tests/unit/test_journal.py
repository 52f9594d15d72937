"""The journal gives back what it accepted, byte for byte and in order, whatever happens to its file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fedmsg_relay.errors import ConfigError, JournalCorruptError, JournalError
from fedmsg_relay.journal import block, reading
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.salvage import set_aside
from fedmsg_relay.journal.store import Journal
from journaled import entries, held

UNFIT = Entry(b"unfit", b"", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(path)) as journal:
        when = "instr(new.topics, x'756e666974')"
        fails = f"BEFORE INSERT ON main.block WHEN {when} BEGIN SELECT raise(ABORT, 'unfit'); END"
        journal._db.execute(f"CREATE TEMP TRIGGER unfit {fails}")  # in the middle of a batch
        yield journal


# On disk.


def test_a_batch_is_synced_before_append_returns(journal: Journal) -> None:
    journal.append(entries(3))
    journal.mark_published(3)
    journal.remember_listeners(["10.0.0.1"])
    with pytest.raises(JournalError):
        journal.append([UNFIT])
    # Only the notes that may be lost are written without; nothing leaves that switched off.
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_batch_is_all_or_nothing(journal: Journal) -> None:
    journal.append(entries(3))
    with pytest.raises(JournalError):
        journal.append([*entries(200, start=3), UNFIT])
    assert held(journal) == entries(3)
    journal.append(entries(2, start=3))
    assert [record.seq for record in journal.waiting(0, 100).records] == [1, 2, 3, 4, 5]


def test_a_torn_tail_costs_the_last_batches_and_never_half_of_one(path: Path, tmp_path: Path) -> None:
    """The WAL, cut at every place a power cut may have left it at."""
    with contextlib.closing(Journal(path)) as journal:
        ends = [0]
        for lot in range(6):
            journal.append(entries(10, start=10 * lot, size=500))
            ends.append(Path(f"{path}-wal").stat().st_size)
        whole = Path(f"{path}-wal").read_bytes()
        base = path.read_bytes()
    random = Random(2026)  # noqa: S311 -- nothing here is secret
    cuts = sorted({*ends, len(whole), *(random.randrange(len(whole)) for _ in range(150))})
    for cut in cuts:
        for garbage in (b"", random.randbytes(700)):
            torn = tmp_path / f"torn-{cut}-{len(garbage)}" / "journal.db"
            torn.parent.mkdir()
            torn.write_bytes(base)
            Path(f"{torn}-wal").write_bytes(whole[:cut] + garbage)
            with contextlib.closing(Journal(torn)) as found:
                batches = sum(1 for end in ends[1:] if end <= cut)
                assert held(found) == entries(10 * batches, size=500), (cut, len(garbage))
                found.append(entries(1))
                assert found.last == 10 * batches + 1
            shutil.rmtree(torn.parent)


def test_a_flipped_bit_is_never_taken_for_a_message(path: Path, tmp_path: Path) -> None:
    """Any bit of the file: intact records are those that were journaled, and every fault is a JournalError."""
    taken = entries(480, size=300)
    with contextlib.closing(Journal(path)) as journal:
        journal.append(taken)
        journal.mark_published(60)
    good = path.read_bytes()
    bodies = {(entry.topic, entry.body) for entry in taken}
    random = Random(2026)  # noqa: S311 -- nothing here is secret
    damaged = corrupt = 0
    for number in range(400):
        flipped = bytearray(good)
        # Anywhere, or where SQLite keeps how a page is made up.
        at = random.randrange(len(good)) if number % 4 else random.randrange(0, len(good), 16384) + random.randrange(64)
        flipped[at] ^= 1 << random.randrange(8)
        copy = tmp_path / f"flip-{number}" / "journal.db"
        copy.parent.mkdir()
        copy.write_bytes(flipped)
        try:
            with contextlib.closing(Journal(copy)) as found:
                records, upto = found.waiting(0, 1000)
                assert upto == len(taken)
                dict(found.recent(1000))
                found.append(entries(1))
        except JournalError:
            corrupt += 1
            continue
        finally:
            shutil.rmtree(copy.parent)
        damaged += len(records) < len(taken)
        lost = len(taken) - len(records)
        assert lost <= block.MESSAGES, "a flipped bit costs one block"
        assert {(record.topic, record.body) for record in records} <= bodies
    assert damaged > 50
    assert corrupt > 5


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 9000, bytes(range(256)) * 64],
    ids=["text", "zeros", "a header and garbage", "bytes"],
)
def test_a_file_that_is_not_a_journal_is_kept_and_may_be_set_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(JournalCorruptError):
        Journal(path)
    aside = set_aside(path)
    assert aside.read_bytes() == content
    with contextlib.closing(Journal(path)) as journal:
        assert journal.carry_over(aside, None, 0) is None
        journal.append(entries(3))
        assert held(journal) == entries(3)


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(1))
        assert held(journal) == entries(1)


def test_a_cut_file_shows_at_once_or_when_it_is_read(path: Path) -> None:
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(500, size=500))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(JournalCorruptError), contextlib.closing(Journal(path)) as journal:
        journal.waiting(0, 1000)


def test_messages_around_a_bad_page_are_carried_over_with_their_seq(path: Path) -> None:
    taken = entries(2000, size=500)
    with contextlib.closing(Journal(path)) as journal:
        journal.append(taken)
        journal.mark_published(600)
        journal.remember_listeners(["192.0.2.1", "192.0.2.1"])
    content = bytearray(path.read_bytes())
    bad = content.index(taken[1300].body) // 16384 * 16384
    content[bad : bad + 16384] = b"\xff" * 16384
    path.write_bytes(content)
    with contextlib.closing(Journal(path)) as journal, pytest.raises(JournalCorruptError):
        journal.waiting(600, 2000)

    aside = set_aside(path)
    with contextlib.closing(Journal(path)) as journal:
        carried = journal.carry_over(aside, None, 0)
        records = journal.waiting(600, 2000).records
        assert (journal.published, journal.last, len(records)) == (600, 2000, carried)
        missing = sorted(set(range(601, 2001)) - {record.seq for record in records})
        assert missing == list(range(missing[0], missing[-1] + 1)), "one page"
        assert 1301 in missing
        assert len(missing) <= 8 * block.MESSAGES
        assert all(record.intact and record.body == taken[record.seq - 1].body for record in records)
        assert journal.listeners() == ["192.0.2.1", "192.0.2.1"]
        journal.append(entries(1))
        assert journal.last == 2001


def test_its_directory_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "100%41?mode=memory#state" / "journal.db"
    with contextlib.closing(Journal(path)) as journal:
        journal.append(entries(3))
    aside = set_aside(path)
    with contextlib.closing(Journal(path)) as journal:
        assert journal.carry_over(aside, None, 0) == 3
        assert held(journal) == entries(3)


def test_two_that_are_set_aside_within_a_second_are_both_kept(path: Path) -> None:
    path.parent.mkdir()
    kept = []
    for content in (b"first", b"second", b"third"):
        path.write_bytes(content)
        kept.append(set_aside(path))
    assert [aside.read_bytes() for aside in kept] == [b"first", b"second", b"third"]


def test_a_journal_of_a_newer_version_is_left_alone(path: Path) -> None:
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE state SET format = format + 1")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="newer"):
        Journal(path)
    assert path.read_bytes() == before


def test_it_is_not_for_everybody_to_read(journal: Journal, path: Path) -> None:
    journal.append(entries(1))
    assert path.stat().st_mode & 0o7 == 0


# Retention.


# The quarantine.


def test_a_block_knows_that_it_is_damaged() -> None:
    (good,) = block.pack(7, 1_700_000_000_000_000, entries(3))
    assert good.intact
    assert [Entry(record.topic, record.body, record.msg_id) for record in good.records()] == entries(3)
    values: tuple[Any, ...] = good
    for number, value in enumerate(values):
        others = [None, value + 1] if isinstance(value, int) else [None, value[:-1], value * 2]
        for other in others:
            columns = [*values[:number], other, *values[number + 1 :]]
            assert not block.Block(*columns).intact, (number, other)


def test_blocks_are_bounded_in_messages_and_bytes() -> None:
    taken = [*entries(250), *entries(100, start=250, size=1800), *entries(2, start=350, size=200_000), *entries(1, 352)]
    blocks = [*block.pack(1, 0, taken)]
    assert [record.body for one in blocks for record in one.records()] == [entry.body for entry in taken]
    assert [one.first for one in blocks] == [1, *(one.last + 1 for one in blocks[:-1])]
    assert max(one.messages for one in blocks) == block.MESSAGES
    assert all(one.size <= block.BYTES or one.messages == 1 for one in blocks)
    assert len(blocks) < 15


def test_pages_of_large_messages_are_bounded(journal: Journal, path: Path) -> None:
    """Also from the middle of a block on, and over a gap."""
    large = [Entry(b"large", b"x" * (reading.PAGE_BYTES * 2 // 3), str(n)) for n in range(5)]
    journal.append([*entries(3), *large, *entries(3, start=3)])
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM block WHERE first = 6")
        pages = [[record.seq for record in page] for page in reading.pages(db, 1)]
    assert pages == [[2, 3, 4, 5], [7, 8], [9, 10, 11]]
