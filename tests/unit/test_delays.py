"""How long messages are in the relay is counted once for each message, in bounded memory."""

from __future__ import annotations

import time

from fedmsg_relay.daemon.delays import TURNS, Delays


def test_each_message_is_counted_once_by_the_time_of_its_turn() -> None:
    delays, now = Delays(100), time.monotonic()
    delays.note(now - 300, 110, 100)  # ten wait
    delays.note(now - 30, 115, 112)  # two of these five are sent, with the ten
    delays.note(now, 115, 115)
    told = delays.describe()
    assert told["messages"] == 15
    assert (told["steps"]["10"], told["steps"]["60"], told["steps"]["600"]) == (0, 5, 15)
    assert 10 * 300 + 5 * 30 <= told["seconds"] < 15 * 600


def test_messages_of_an_earlier_run_are_not_counted() -> None:
    delays, now = Delays(100), time.monotonic()
    delays.note(now, 100, 60)
    delays.note(now, 103, 100)
    assert delays.describe()["messages"] == 0
    delays.note(now, 103, 103)
    assert delays.describe()["messages"] == 3


def test_a_journal_that_takes_the_place_of_another_is_begun_anew() -> None:
    delays, now = Delays(100), time.monotonic()
    delays.note(now, 110, 100)
    delays.note(now, 4, 0)  # four were carried over
    delays.note(now, 6, 6)
    assert delays.describe()["messages"] == 2


def test_very_many_turns_that_wait_are_remembered_in_bounded_memory() -> None:
    delays, now = Delays(0), time.monotonic()
    turns = 3 * TURNS
    for number in range(1, turns + 1):
        delays.note(now - 30, number, 0)
    delays.note(now, turns, turns)
    told = delays.describe()
    assert told["messages"] == turns
    assert (told["steps"]["10"], told["steps"]["60"]) == (0, turns)
