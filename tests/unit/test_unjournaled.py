"""Messages that could not be journaled keep their place among those that were."""

from __future__ import annotations

from fedmsg_relay.daemon.unjournaled import Unjournaled
from fedmsg_relay.runtime import limits
from journaled import entries


def test_a_batch_ends_where_a_message_was_journaled() -> None:
    kept = Unjournaled()
    kept.keep(entries(3), after=10)
    kept.keep(entries(3, start=3), after=20)
    assert kept.after == 10
    assert kept.next(10, 100) == entries(3)
    assert kept.next(10, 2) == entries(2)
    kept.drop(3)
    assert (kept.after, len(kept)) == (20, 3)
    assert kept.next(25, 100) == entries(3, start=3)


def test_they_do_not_wait_for_messages_of_the_journal_that_cannot_be_read() -> None:
    kept = Unjournaled()
    kept.keep(entries(3), after=10)
    assert kept.next(0, 100) == entries(3)


def test_there_are_bounds_in_number_and_in_bytes_of_a_batch() -> None:
    kept = Unjournaled()
    large = entries(3, size=limits.FORWARD_BYTES)
    kept.keep(large, after=0)
    assert kept.next(0, 100) == large[:1]
    kept.keep(entries(limits.UNJOURNALED_MESSAGES, start=3), after=0)
    assert kept.take_all() == [*large, *entries(limits.UNJOURNALED_MESSAGES - 3, start=3)]
    assert not kept
