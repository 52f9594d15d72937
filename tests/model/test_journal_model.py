"""The journal against a model: whatever is done to it in whatever order, it holds what the model holds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.journal.store import Journal
from journaled import held

DAY = 86400.0
MUCH = 2**40

some_entries = st.lists(
    st.builds(Entry, st.binary(max_size=20), st.binary(max_size=300), st.none() | st.text("abc", max_size=3)),
    max_size=8,
)
some_rejected = st.lists(
    st.builds(
        Rejected, st.sampled_from(["too-large", "body-not-json"]), st.just("10.0.0.1"), *[st.binary()] * 2, st.just(1)
    ),
    max_size=4,
)


class JournalAndModel(RuleBasedStateMachine):
    """A list of entries, what of it is published and trimmed, and the listeners: the model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="fedmsg-"))
        self.path = self.directory / "journal.db"
        self.journal = Journal(self.path)
        self.taken: list[Entry] = []
        self.ends: list[int] = []
        self.published = self.trimmed = self.quarantined = 0
        self.listeners: list[str] = []

    @rule(batch=some_entries, rejected=some_rejected)
    def append(self, batch: list[Entry], rejected: list[Rejected]) -> None:
        self.journal.append(batch, rejected)
        self.taken += batch
        self.ends += [len(self.taken)] if batch else []
        self.quarantined += len(rejected)

    @precondition(lambda self: self.published < len(self.taken))
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        self.published = data.draw(st.integers(self.published + 1, len(self.taken)))
        self.journal.mark_published(self.published)

    @rule(hosts=st.lists(st.sampled_from(["10.0.0.1", "::1"]), max_size=3))
    def remember(self, hosts: list[str]) -> None:
        self.journal.remember_listeners(hosts)
        self.listeners = hosts

    @rule()
    def trim(self) -> None:
        """As if everything were too old: what was journaled together goes together."""
        removed = self.journal.trim(-DAY, MUCH)
        upto = max((end for end in self.ends[:-1] if end <= self.published), default=0)
        assert removed == max(0, upto - self.trimmed)
        self.trimmed += removed

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = Journal(self.path)

    @rule()
    def lose_the_process(self) -> None:
        """A kill leaves the files as they are now."""
        copy = self.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", copy)
        self.journal.close()
        for suffix in ("", "-wal"):
            shutil.copy(copy / f"journal.db{suffix}", self.directory)
        self.journal = Journal(self.path)

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert held(self.journal) == self.taken[self.trimmed :]
        assert (self.journal.last, self.journal.published) == (len(self.taken), self.published)
        waiting = [record.seq for record in self.journal.waiting(self.published, 10**9).records]
        assert waiting == list(range(self.published + 1, len(self.taken) + 1))
        newest = [(e.msg_id, seq) for seq, e in enumerate(self.taken, 1) if e.msg_id is not None]
        assert [(name, seq) for name, (seq, _) in self.journal.recent(50_000)] == newest
        for seq, entry in enumerate(self.taken, 1):
            assert self.journal.is_same(seq, entry) == (entry.msg_id is not None or seq > self.trimmed)
            assert not self.journal.is_same(seq, entry._replace(body=entry.body + b"x"))
        assert self.journal.listeners() == self.listeners

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.directory)


TestJournalAndModel = JournalAndModel.TestCase
TestJournalAndModel.settings = settings(
    max_examples=60, stateful_step_count=20, suppress_health_check=list(HealthCheck)
)
