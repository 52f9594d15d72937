"""The hold after a restart: publishing waits, within a bound, until the previous listeners are connected again."""

from __future__ import annotations

import time

from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime.log import log

HOLD_SECONDS = 2.5
"""Maximum time that a start waits for the previous listeners. Stock listeners reconnect within a second or two."""


class Hold:
    """Holds publishing until the previous listeners are back, or :data:`HOLD_SECONDS` have passed.

    Args:
        outbound: where the listeners connect.
        expected: IP addresses of the previous listeners, one for each connection.
    """

    def __init__(self, outbound: Outbound, expected: list[str]) -> None:
        self._outbound = outbound
        self._expected = expected
        self._until = time.monotonic() + HOLD_SECONDS if expected else 0.0

    @property
    def over(self) -> bool:
        """Whether publishing may go on. This looks at the listeners; :attr:`on` does not."""
        if self._until and not self._outbound.returned(self._expected):
            if time.monotonic() < self._until:
                return False
            log.warning("not all previous listeners are back (%s); publishing", ", ".join(self._expected))
        self._until = 0.0
        return True

    @property
    def on(self) -> bool:
        """Whether publishing was held when :attr:`over` was last looked at."""
        return bool(self._until)

    def give_up(self) -> None:
        """End the hold now."""
        self._until = 0.0
