"""A limit on how much each IP address submits: a token bucket for each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_SECONDS = 10.0
"""The bucket of an address that was silent holds what the rate allows in this time, and at least one message."""

ADDRESSES = 10_000
"""Addresses whose buckets are known; one more takes the place of the address that was seen least recently."""


class Rate:
    """Messages a second that each address may submit on average.

    A batch is taken if at least one message of it may come; what it has more is owed, and the next one has to wait for
    it. So a batch that is larger than any bucket gets through, and small ones cannot keep it waiting for ever.

    Args:
        rate: messages a second; above 0.
        clock: seconds that pass.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = 1 / rate
        self._burst = max(BURST_SECONDS, self._seconds)
        self._clock = clock
        # Until when an address has used up its rate: one number says how full its bucket is, at any time.
        self._used: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> float:
        """Tell how long a batch has to wait.

        Args:
            address: where it comes from.

        Returns:
            Seconds until one message may come; 0 if it may come now.
        """
        used = self._used.get(address)
        return 0.0 if used is None else max(0.0, used + self._seconds - self._burst - self._clock())

    def charge(self, address: str, messages: int) -> None:
        """Note a batch that was taken.

        Args:
            address: where it comes from.
            messages: number of its messages.
        """
        now = self._clock()
        used = self._used.pop(address, now)
        if len(self._used) >= ADDRESSES:
            self._used.popitem(last=False)
        self._used[address] = max(used, now) + messages * self._seconds
