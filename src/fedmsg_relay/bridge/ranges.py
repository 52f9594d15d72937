"""Sets of numbers as ranges: a few ranges stand for millions of numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A set of numbers.

    Args:
        ranges: first and last number of each range; in order, and none touches another.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self._firsts.append(first)
            self._lasts.append(last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Get the number of ranges."""
        return len(self._firsts)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def add(self, number: int) -> None:
        """Add a number."""
        at = bisect_right(self._firsts, number)
        if at and number <= self._lasts[at - 1]:
            return
        joins_left = bool(at) and self._lasts[at - 1] == number - 1
        joins_right = at < len(self._firsts) and self._firsts[at] == number + 1
        if joins_left and joins_right:
            self._lasts[at - 1] = self._lasts[at]
            del self._firsts[at], self._lasts[at]
        elif joins_left:
            self._lasts[at - 1] = number
        elif joins_right:
            self._firsts[at] = number
        else:
            self._firsts.insert(at, number)
            self._lasts.insert(at, number)

    def append(self, first: int, last: int) -> None:
        """Add a range above all numbers."""
        if self._lasts and self._lasts[-1] == first - 1:
            self._lasts[-1] = last
        else:
            self._firsts.append(first)
            self._lasts.append(last)

    def remove(self, number: int) -> None:
        """Remove a number that is in it."""
        at = bisect_right(self._firsts, number) - 1
        first, last = self._firsts[at], self._lasts[at]
        del self._firsts[at], self._lasts[at]
        for low, high in ((number + 1, last), (first, number - 1)):
            if low <= high:
                self._firsts.insert(at, low)
                self._lasts.insert(at, high)

    def end_of(self, number: int) -> int | None:
        """Get the last number of the range that a number is in; None if it is in none."""
        at = bisect_right(self._firsts, number) - 1
        return self._lasts[at] if at >= 0 and number <= self._lasts[at] else None

    def next_after(self, number: int) -> int | None:
        """Get the first number of the next range that begins after a number; None if there is none."""
        at = bisect_right(self._firsts, number)
        return self._firsts[at] if at < len(self._firsts) else None

    def forget(self, upto: int) -> None:
        """Remove all numbers up to one."""
        while self._firsts and self._lasts[0] <= upto:
            del self._firsts[0], self._lasts[0]
        if self._firsts and self._firsts[0] <= upto:
            self._firsts[0] = upto + 1
