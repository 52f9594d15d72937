"""The dedup window: it knows the newest messages, and not many more."""

from __future__ import annotations

import pytest

from fedmsg_relay.journal.window import GENERATIONS, Sighting, Window

LIMIT = 200


def turn(first: int, last: int) -> dict[str, tuple[Sighting, ...]]:
    """Messages with names of their own."""
    return {f"name-{number}": ((number, None),) for number in range(first, last + 1)}


@pytest.mark.parametrize("together", [1, 7, LIMIT // 2])
def test_it_knows_the_newest_and_not_many_more(together: int) -> None:
    window = Window(LIMIT)
    for last in range(together, 10 * LIMIT, together):
        window.add(turn(last - together + 1, last))
        for number in range(max(1, last - LIMIT + 1), last + 1):
            assert window.find(f"name-{number}") == ((number, None),)
    known_now = [number for number in range(1, last + 1) if window.find(f"name-{number}")]
    assert len(known_now) <= LIMIT + LIMIT // GENERATIONS + GENERATIONS * together
    assert known_now == list(range(known_now[0], last + 1))


def test_of_one_name_it_knows_the_first_and_the_newest_whenever_they_came() -> None:
    window = Window(LIMIT, [("name", (1, None))])
    for seq in range(2, 3 * LIMIT):
        window.add({"name" if seq % 20 == 0 else f"other-{seq}": ((seq, None),)})
    # Messages before 363 are forgotten, whatever their name.
    assert [seq for seq, _ in window.find("name")] == [380, 540, 560, 580]
    assert window.find("nobody") == ()


def test_it_takes_over_the_older_messages_of_another_one() -> None:
    other = Window(LIMIT, [("both", (1, None)), ("old", (2, None)), ("later", (9, None))])
    window = Window(LIMIT, [("both", (12, None)), ("new", (13, None))])
    window.keep_from(other, upto=5)
    assert window.find("both") == ((1, None), (12, None))
    assert window.find("old") == ((2, None),)
    assert window.find("new") == ((13, None),)
    assert window.find("later") == ()
