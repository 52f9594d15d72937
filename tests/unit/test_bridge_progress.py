"""The bridge's memory: of a journal that was removed and begun anew nothing is left; and where it cannot be written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

import pytest

from fedmsg_relay.bridge import comparison, progress
from fedmsg_relay.bridge.comparison import Arrival, Comparison
from fedmsg_relay.bridge.ledger import Ledger
from fedmsg_relay.bridge.mapping import Outgoing, outgoing
from fedmsg_relay.bridge.progress import Progress
from fedmsg_relay.bridge.reading import Reader
from fedmsg_relay.bridge.report import Report, report
from fedmsg_relay.bridge.window import Item
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.store import Journal

RELAY = "relay-1"


class Hooked(Ledger):
    """A ledger of the comparator, with something that happens between its look at the counters and its writing."""

    meanwhile: Callable[[], None] | None = None

    def unsent_after(self, seq: int) -> list[tuple[int, int]]:
        hook, self.meanwhile = self.meanwhile, None
        if hook:
            hook()
        return super().unsent_after(seq)


class Site:
    """A bridge of one process: its way forward and its comparator, beside a journal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.begin(100)
        self.ledger = Hooked(directory)
        self.start()
        self.comparison = Comparison(self._reader(), self.ledger, RELAY)

    def start(self) -> None:
        """Start the bridge, or start it again."""
        self.written = Ledger(self.directory)
        self.progress = Progress(self._reader(), self.written, RELAY, "oldest", tapped=True)

    def _reader(self) -> Reader:
        return Reader(self.directory / "journal.db")

    def begin(self, count: int, bad: Collection[int] = ()) -> None:
        """Remove the journal, and begin another one whose messages have other bodies; those in ``bad`` are not sent."""
        for path in self.directory.glob("journal.db*"):
            path.unlink()
        body = [b"[]" if n in bad else json.dumps({"msg": {"of": count, "n": n}}).encode() for n in range(1, count + 1)]
        with closing(Journal(self.directory / "journal.db")) as journal:
            journal.append([Entry(b"org.example.a", each, None) for each in body], size=100 * count)

    def send(self, room: int = 500) -> None:
        """Send a window of messages; the broker takes them."""
        self.progress.refill(room)
        sent = list[Item]()
        while item := self.progress.window.next_to_send(1000):
            sent.append(item)
            self.progress.window.sent(item, len(sent))
        for item in self.progress.window.settle(len(sent), multiple=True):
            self.progress.note_confirmed(item)
        self.progress.commit()

    def arrive(self, first: int, last: int) -> None:
        with closing(self._reader()) as reader:
            found = [
                (record.seq, outgoing(record, RELAY)) for record in reader.messages_after(first - 1, last + 1 - first)
            ]
        self.comparison.take(
            [Arrival(n, message, again=False) for n, message in found if isinstance(message, Outgoing)]
        )

    def drain(self) -> None:
        """Find the tap queue empty, for long enough."""
        for _ in range(2):
            self.comparison.note_drained(time.monotonic())

    def rows(self, table: str) -> list[tuple[object, ...]]:
        with self.ledger.transaction() as db:
            return db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608

    def report(self) -> Report:
        return report(self.directory, 14)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(comparison, "LATE_SECONDS", 0.0)
    return Site(tmp_path)


def test_the_comparator_begins_with_it(site: Site) -> None:
    site.send()
    site.arrive(1, 90)
    site.drain()
    assert (site.comparison.counters["front"], site.comparison.counters["missing"]) == (100, 10)
    site.begin(30, bad=[5])
    site.send()
    site.arrive(1, 20)
    site.drain()
    told = {"begin": 0, "front": 30, "arrived": 19, "missing": 10, "twice": 0, "different": 0, "unknown": 0}
    assert site.comparison.counters.items() >= told.items()
    assert [(first, last) for first, last, *_ in site.rows("missing")] == [(21, 30)]
    # A comparator that is started then goes on there, and finds nothing more.
    site.comparison = Comparison(Reader(site.directory / "journal.db"), site.ledger, RELAY)
    site.arrive(21, 30)
    site.drain()
    assert site.comparison.counters.items() >= {"front": 30, "arrived": 29, "missing": 0, "late": 10}.items()


@pytest.mark.parametrize("stopped", [False, True])
def test_one_that_is_longer_than_the_one_before_is_sent_from_its_beginning(site: Site, stopped: bool) -> None:
    site.send()
    site.begin(150)
    if stopped:
        site.start()
    site.send()
    assert site.progress.counters.items() >= {"confirmed": 150, "begin": 0, "cursor": 150, "renewed": 1}.items()


def test_the_same_one_goes_on(site: Site) -> None:
    for count in (100, 101, 102):
        site.start()
        site.send()
        assert site.progress.counters.items() >= {"confirmed": count, "renewed": 0}.items()
        with closing(Journal(site.directory / "journal.db")) as journal:
            journal.append([Entry(b"org.example.a", b'{"msg":{}}', None)], size=100)


def test_nothing_is_left_that_has_numbers_of_the_one_before(site: Site) -> None:
    site.begin(200, bad=[150, 151, 180])
    site.send()
    with site.ledger.transaction() as db:
        site.ledger.write_counters(db, "seen.", {"gap": 500, "missing": 7})
        db.execute("INSERT INTO retry VALUES (150)")
        db.execute("INSERT INTO noted VALUES (x'00', 10000)")
    assert site.rows("unsent") == [(150, 151), (180, 180)]
    assert len(site.rows("aside")) == 3
    site.begin(100, bad=[7])
    site.send()
    assert site.rows("unsent") == [(7, 7)]
    assert [row[0] for row in site.rows("aside")] == [7]
    assert site.rows("retry") == []
    assert site.ledger.counters("seen.") == {}
    assert site.rows("noted") == [(b"\0", 10000)], "these go by bytes"


def test_a_comparator_that_is_overtaken_writes_nothing_of_the_one_before(site: Site) -> None:
    site.send()
    site.arrive(1, 99)
    site.begin(30, bad=[*range(1, 6), 9])
    site.ledger.meanwhile = site.send
    site.comparison.take([])
    assert site.rows("unsent") == [(1, 5), (9, 9)]
    assert site.rows("arrived") == []
    site.arrive(1, 30)
    site.drain()
    assert site.comparison.counters.items() >= {"front": 30, "arrived": 24, "missing": 0, "twice": 0}.items()


def test_the_report_says_so_until_somebody_has_acknowledged_it(site: Site) -> None:
    site.send()
    with site.ledger.transaction() as db:
        site.ledger.write_counters(db, "seen.", {"gap": 500})
    assert "gone from the journal" not in site.report().summary
    site.begin(30)
    site.send()
    found = site.report()
    assert (found.facts["forward"]["new_gap"], found.facts["forward"]["balanced"]) == (0, True)
    assert "the journal was begun anew" in found.summary
    with site.ledger.transaction() as db:
        site.ledger.write_counters(db, "seen.", {"renewed": 1})
    assert "begun anew" not in site.report().summary
    site.begin(20)
    site.send()
    assert "the journal was begun anew" in site.report().summary, "once more"


def test_what_is_sent_one_by_one_ends_with_the_one_before(site: Site) -> None:
    site.send()
    site.progress.careful_until = 90
    site.begin(30)
    site.send()
    assert site.progress.careful_until == 0


def test_no_more_than_a_window_is_sent_that_cannot_be_written_down(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "RETRY_SECONDS", 0.0)
    site.send(10)
    with site.written.transaction() as db:
        db.execute("PRAGMA busy_timeout = 1")
    with site.ledger.transaction():
        for _ in range(5):
            site.send(10)
        assert (site.progress.committed, site.progress.counters["cursor"]) == (10, 20)
        assert "locked" in site.progress.fault
    site.progress.commit()
    site.send(10)
    assert (site.progress.committed, site.progress.counters["cursor"], site.progress.fault) == (30, 30, "")
