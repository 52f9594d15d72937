"""The rate of each address: what it lets through over time, and what it says of the time to wait."""

from __future__ import annotations

import pytest

from fedmsg_relay.daemon import rate
from fedmsg_relay.daemon.rate import BURST_SECONDS, Rate


class Clock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def submit(limit: Rate, batch: int = 1, address: str = "192.0.2.1") -> float:
    wait = limit.wait(address)
    if not wait:
        limit.charge(address, batch)
    return wait


def taken(limit: Rate, tries: int, batch: int = 1) -> int:
    return sum(not submit(limit, batch) for _ in range(tries))


@pytest.mark.parametrize("messages", [0.0625, 0.5, 4, 1024])  # exact in binary
def test_a_silent_address_has_its_burst_and_then_its_rate(messages: float) -> None:
    clock = Clock()
    limit = Rate(messages, clock)
    burst = max(1, round(messages * BURST_SECONDS))
    assert taken(limit, 2 * burst + 5) == burst
    for _ in range(20):
        clock.now += 1.0001 / messages
        assert taken(limit, 3) == 1
    clock.now += 1e6
    assert taken(limit, 2 * burst + 5) == burst, "silence fills the bucket and no more"


def test_the_time_to_wait_is_honest() -> None:
    clock = Clock()
    limit = Rate(2, clock)
    while not (wait := submit(limit)):
        pass
    assert wait == pytest.approx(0.5)
    clock.now += wait - 0.01
    assert submit(limit) == pytest.approx(0.01)
    clock.now += 0.0101
    assert not submit(limit)


def test_a_batch_larger_than_the_burst_gets_through_and_is_owed() -> None:
    clock = Clock()
    limit = Rate(1, clock)
    assert taken(limit, 20) == 10
    clock.now += 1.001
    assert not submit(limit, 1000)
    assert submit(limit) == pytest.approx(1000, rel=0.01)
    clock.now += 1000
    assert not submit(limit)


def test_over_a_long_time_any_batches_come_at_the_rate() -> None:
    for batch in (1, 7, 50, 400):
        clock = Clock()
        limit, came = Rate(10, clock), 0
        for _ in range(20_000):
            clock.now += 0.01
            came += 0 if submit(limit, batch) else batch
        assert came == pytest.approx(200 * 10 + 100, abs=batch)


def test_each_address_has_a_rate_of_its_own() -> None:
    limit = Rate(1, Clock())
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
        assert sum(not submit(limit, address=address) for _ in range(20)) == 10


def test_the_known_addresses_are_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "ADDRESSES", 3)
    limit = Rate(0.1, Clock())
    for address in "abc":
        assert not submit(limit, address=address)
    assert all(submit(limit, address=address) for address in "abc")
    assert not submit(limit, address="d")
    assert len(limit._used) == 3
    assert not limit.wait("a"), "it was seen least recently"
    assert all(limit.wait(address) for address in "bcd")
