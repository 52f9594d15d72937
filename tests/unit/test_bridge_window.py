"""The window and the ranges of the bridge, against plain sets and lists."""

from __future__ import annotations

import random

import pytest

from fedmsg_relay.bridge.mapping import ENVELOPE, Outgoing
from fedmsg_relay.bridge.ranges import Ranges
from fedmsg_relay.bridge.window import WINDOW_BYTES, Item, State, Window


def item(seq: int, size: int = 10, state: State = State.WAITING) -> Item:
    return Item(seq, seq, state, 0, Outgoing("t", b"x" * size, str(seq), {}))


def filled(count: int) -> Window:
    window = Window()
    for seq in range(1, count + 1):
        window.add(item(seq))
    return window


def send_all(window: Window, limit: int = 1000, tag: int = 0) -> list[int]:
    sent = []
    while found := window.next_to_send(limit):
        tag += 1
        window.sent(found, tag)
        sent.append(found.first)
    return sent


def confirm(window: Window, tag: int, multiple: bool = False) -> list[int]:
    settled = list(window.settle(tag, multiple))
    for each in settled:
        each.state = State.CONFIRMED
    return [each.first for each in settled]


def test_the_front_moves_only_over_what_is_final() -> None:
    window = filled(5)
    assert send_all(window) == [1, 2, 3, 4, 5]
    assert confirm(window, 3) == [3]
    assert window.take_final() == []
    assert confirm(window, 2, multiple=True) == [1, 2]
    assert [each.first for each in window.take_final()] == [1, 2, 3]
    assert confirm(window, 9, multiple=True) == [4, 5]
    assert len(window.take_final()) == 2
    assert len(window) == 0


def test_no_more_are_sent_than_the_limit_in_number_and_in_bytes() -> None:
    window = filled(5)
    assert send_all(window, 2) == [1, 2]
    confirm(window, 1)
    assert send_all(window, 2, tag=2) == [3]
    large = Window()
    for seq in range(3):
        large.add(item(seq, WINDOW_BYTES // 2 + 1))
    assert send_all(large) == [0]
    confirm(large, 1)
    assert send_all(large, tag=1) == [1]


def test_what_was_refused_goes_again_before_the_others() -> None:
    window = filled(6)
    assert send_all(window, 4) == [1, 2, 3, 4]
    confirm(window, 1)
    window.wait_again(list(window.settle(3, multiple=True)))
    assert send_all(window, 1) == []
    confirm(window, 4)
    assert send_all(window, tag=4) == [2, 3, 5, 6]


def test_a_lost_channel_lets_all_wait_again() -> None:
    window = filled(4)
    send_all(window, 3)
    confirm(window, 2)
    assert [each.first for each in window.lose_all()] == [1, 3]
    assert window.in_flight == 0
    assert confirm(window, 1) == [], "an answer of the old channel"
    assert send_all(window) == [1, 3, 4]


def test_a_message_set_aside_is_not_sent() -> None:
    window = filled(2)
    send_all(window, 1)
    (found,) = window.lose_all()
    window.set_aside(found, "why")
    assert send_all(window) == [2]
    assert [each.state for each in window.take_final()] == [State.SET_ASIDE]


def test_what_was_set_aside_before_is_sent_alone() -> None:
    window = filled(2)
    window.add(Item(0, 0, State.WAITING, message=item(0).message, again=True))
    window.add(item(3))
    assert send_all(window) == [1, 2]
    confirm(window, 2, multiple=True)
    assert send_all(window, tag=2) == [0]
    assert [each.first for each in window.lose_all()] == [0]
    assert send_all(window) == [0]
    confirm(window, 1)
    assert send_all(window, tag=1) == [3]


def test_no_more_is_read_ahead_than_the_limit_in_number_and_in_bytes() -> None:
    window = filled(2)
    assert (window.has_room(3), window.has_room(2)) == (True, False)
    window.add(item(3, WINDOW_BYTES))
    assert not window.has_room(100)
    send_all(window)
    confirm(window, 2, multiple=True)
    assert send_all(window, tag=2) == [3]
    confirm(window, 3)
    window.take_final()
    assert window.has_room(100)


def test_an_envelope_counts_as_well() -> None:
    window = Window()
    envelope = "x" * 32_768
    for seq in range(1, 1001):
        message = Outgoing("t", b"{}", str(seq), {ENVELOPE: envelope})
        window.add(Item(seq, seq, State.WAITING, 0, message))
    assert len(send_all(window)) == WINDOW_BYTES // (len(envelope) + 2)
    assert not window.has_room(5000)


def test_an_unroutable_message_is_found_by_its_number() -> None:
    window = filled(3)
    send_all(window, 2)
    for seq in (2, 3, "2", None, [1]):
        window.note_unroutable(seq)
    assert [each.unroutable for each in window.settle(2, multiple=True)] == [False, True]


@pytest.mark.parametrize("number", range(20))
def test_ranges_are_a_set(seed: int, number: int) -> None:
    draw = random.Random(seed + number)  # noqa: S311 -- not a secret
    ranges, plain = Ranges(), set[int]()
    for _ in range(300):
        value = draw.randrange(60)
        match draw.randrange(8):
            case 0 if value in plain:
                ranges.remove(value)
                plain.remove(value)
            case 1 if value < 15:
                ranges.forget(value)
                plain = {each for each in plain if each > value}
            case _:
                ranges.add(value)
                plain.add(value)
        assert [each for first, last in ranges for each in range(first, last + 1)] == sorted(plain)
        assert (value in ranges) == (value in plain)
        after = [each for each in plain if each > value and each - 1 not in plain]
        assert ranges.next_after(value) == min(after, default=None)
    assert all(before[1] + 1 < after[0] for before, after in zip(list(ranges), list(ranges)[1:], strict=False))


def test_a_range_that_is_appended_joins_the_one_before() -> None:
    ranges = Ranges([(1, 3)])
    ranges.append(4, 9)
    ranges.append(11, 12)
    assert list(ranges) == [(1, 9), (11, 12)]
    assert (ranges.end_of(5), ranges.end_of(10)) == (9, None)
