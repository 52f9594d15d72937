"""Counts by address: the largest are shown, in bounded memory."""

from __future__ import annotations

import pytest

from fedmsg_relay.network import counts as by_address
from fedmsg_relay.network.counts import AddressCounts


def test_the_largest_counts_come_first() -> None:
    counts = AddressCounts()
    assert counts.describe() == {"count": 0, "most": []}
    for number in range(1, 9):
        counts.add(f"192.0.2.{number}", number)
    counts.add("192.0.2.1", 100)
    found = counts.describe()
    assert found["count"] == 36 + 100
    assert [(most["address"], most["count"]) for most in found["most"]] == [
        ("192.0.2.1", 101),
        ("192.0.2.8", 8),
        ("192.0.2.7", 7),
        ("192.0.2.6", 6),
        ("192.0.2.5", 5),
    ]


def test_a_flood_of_addresses_displaces_no_large_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_address, "COUNTED_ADDRESSES", 20)
    counts = AddressCounts()
    for number in range(5):
        counts.add(f"large-{number}", 1000 - number)
    for number in range(10_000):
        counts.add(f"small-{number}", 1)
        assert len(counts._of) <= 20
    assert [most["address"] for most in counts.describe()["most"]] == [f"large-{number}" for number in range(5)]
    assert counts.describe()["count"] == 4990 + 10_000
