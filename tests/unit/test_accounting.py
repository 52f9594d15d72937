"""Both identities hold at every moment, and a breach would be seen."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmsg_relay.daemon.accounting import Accounting, Counts
from relays import assert_balanced

TERMS = [field.name for field in fields(Counts)]


@given(st.builds(Counts, **{name: st.integers(0, 5) for name in TERMS}))
def test_balanced_is_what_the_identities_say(counts: Counts) -> None:
    try:
        assert_balanced(asdict(counts))
    except AssertionError:
        assert not counts.balanced
    else:
        assert counts.balanced


@pytest.mark.parametrize("name", TERMS)
def test_every_term_counts(name: str) -> None:
    """A message that is left out of, or counted twice in, any of them is a breach."""
    good = Counts(
        received=21,
        journaled=6,
        quarantined=5,
        refused=4,
        duplicates=3,
        unjournaled=3,
        carried=2,
        published=4,
        waiting=2,
        damaged=1,
        refused_upstream=1,
    )
    assert good.balanced
    for off in (-1, 1):
        assert not replace(good, **{name: getattr(good, name) + off}).balanced


def test_a_reader_never_sees_half_of_a_batch() -> None:
    accounting = Accounting()
    batch = Counts(received=10, journaled=4, quarantined=3, refused=2, duplicates=1, published=4)
    done = threading.Event()

    def read() -> int:
        seen = 0
        while not done.is_set():
            assert accounting.totals().balanced
            seen += 1
        return seen

    with ThreadPoolExecutor(2) as readers:
        reading = [readers.submit(read) for _ in range(2)]
        for _ in range(3000):
            accounting.add(batch, 0, Counter(), {"inbound": 6, "submit": 4})
        done.set()
        assert all(reader.result() > 0 for reader in reading)
    assert accounting.ways() == {"inbound": 18000, "submit": 12000}
    assert accounting.totals() == replace(batch, **{name: 3000 * getattr(batch, name) for name in TERMS})
