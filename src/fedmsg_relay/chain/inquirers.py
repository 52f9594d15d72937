"""Relays that are chained to this one, by their inquiries: whether all of them hear what this one publishes."""

from __future__ import annotations

import time

REMEMBERED_SECONDS = 3.0
"""A chained relay asks every second, so a relay that has not asked for longer has left."""

MOST = 1000
"""Inquirers that are remembered. Beyond that the answer is that not all of them hear this relay."""


class Inquirers:
    """The inquiries of the last seconds."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[float, bool]] = {}

    def note(self, subscription: bytes, heard: bool) -> None:
        """Remember an inquiry.

        Args:
            subscription: the topic that the inquirer has subscribed to at outbound, different for each.
            heard: whether this subscription is in force.
        """
        now = time.monotonic()
        if len(self._asked) >= MOST:
            self._asked = {who: told for who, told in self._asked.items() if now - told[0] <= REMEMBERED_SECONDS}
        if len(self._asked) < MOST:
            self._asked[hash(subscription)] = now, heard

    @property
    def all_hear(self) -> bool:
        """Whether there are inquirers, and the subscription of each was in force when it asked last."""
        now = time.monotonic()
        recent = [heard for asked, heard in self._asked.values() if now - asked <= REMEMBERED_SECONDS]
        return 0 < len(recent) < MOST and all(recent)
