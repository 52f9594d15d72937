"""The pause before a link connects anew."""

from __future__ import annotations

import time

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 0.5
"""Each pause is twice as long as the previous one, between these bounds."""


class Pause:
    """A pause that becomes longer each time."""

    def __init__(self) -> None:
        self._seconds = SHORTEST_SECONDS
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the link may connect."""
        return time.monotonic() >= self._until

    @property
    def is_longest(self) -> bool:
        """Whether the next pause is not longer than this one."""
        return self._seconds >= LONGEST_SECONDS

    def begin(self) -> None:
        """Begin the next pause."""
        self._until = time.monotonic() + self._seconds
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS)

    def shorten(self) -> None:
        """Make the next pause a short one: the link has worked."""
        self._seconds = SHORTEST_SECONDS
