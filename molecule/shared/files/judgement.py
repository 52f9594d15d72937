"""Judges whether numbered messages came through: none lost, none twice, each publisher's in order."""

from __future__ import annotations

from collections import defaultdict


def in_order(numbers: list[int], takers: list[str]) -> bool:
    """Whether the numbers that each relay took are in order; without takers one relay took them all."""
    by_relay: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        by_relay[takers[number] if takers else ""].append(number)
    return all(each == sorted(each) for each in by_relay.values())


def judge(
    sent: dict[str, int], heard: dict[str, dict[str, list[int]]], from_start: set[str], takers: dict[str, list[str]]
) -> tuple[bool, list[str]]:
    """Hold what was heard against what was sent, publisher by publisher and listener by listener.

    Args:
        sent: how many each publisher sent.
        heard: the numbers of each publisher, for each listener.
        from_start: the listeners that hear all; another has to have heard everything after its first number.
        takers: of a publisher that goes from relay to relay, the relay of each number.

    Returns:
        Whether nothing is lost, repeated or out of order, and a table of it.
    """
    lines = ["publisher      sent  listener             heard   from  lost twice in order"]
    well = True
    for name, count in sent.items():
        for listener, numbers in heard.items():
            got = numbers[name]
            first = 0 if listener in from_start else min(got, default=count)
            lost, twice = len(set(range(first, count)) - set(got)), len(got) - len(set(got))
            order = "yes" if in_order(got, takers.get(name, [])) else "NO"
            well = well and not lost and not twice and order == "yes"
            lines.append(f"{name:12} {count:6}  {listener:18} {len(got):7} {first:6} {lost:5} {twice:5} {order}")
    return well, lines
