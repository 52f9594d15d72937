"""The subscription of a link to the upstream's outbound, and what is left of the previous one.

There is one subscription at a time: with two, what the upstream publishes would come twice. So it stays while only the
connection to submit is made anew, and a new one begins when all of the previous one is taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from fedmsg_relay.chain.mirror import Mirror
from fedmsg_relay.chain.outgoing import Outgoing

LINGER_SECONDS = 0.5
"""Time for which messages are taken after the link was joined: the upstream may have published them before."""


class Subscription:
    """Hears what an upstream publishes.

    Args:
        address: of the upstream's outbound.
        max_bytes: maximum size of a message; a larger one is not taken in.

    Attributes:
        address: of the upstream's outbound.
        mirror: the subscription; None while there is none.
        leftover: the previous one, as long as messages that came over it are still to be taken in.
    """

    def __init__(self, address: str, max_bytes: int) -> None:
        self.address = address
        self.mirror: Mirror | None = None
        self.leftover: Mirror | None = None
        self._max_bytes = max_bytes
        self._lingers_until = 0.0

    def limit(self, max_bytes: int) -> None:
        """Change the maximum size of a message.

        Args:
            max_bytes: the new one.
        """
        self._max_bytes = max_bytes
        if self.connection is not None:
            self.connection.max_bytes = max_bytes

    @property
    def connection(self) -> Outgoing | None:
        """The connection to the upstream's outbound; None while there is no subscription."""
        return self.mirror.connection if self.mirror is not None else None

    def begin(self) -> None:
        """Subscribe, if that has not been done yet and nothing is left of the previous subscription."""
        if self.mirror is None and self.leftover is None:
            self.mirror = Mirror(self.address, self._max_bytes)

    def update(self) -> None:
        """Take in what has come, without waiting."""
        if self.mirror is not None:
            self.mirror.update()

    def take(self, limit: int, joined: bool) -> Iterator[tuple[bytes, bytes]]:
        """Take messages: first all that came over the previous subscription.

        Args:
            limit: maximum number of messages.
            joined: whether messages of the present one are to be published here.

        Yields:
            Topic and body.
        """
        if self.leftover is not None:
            yield from self._take_leftover(self.leftover, limit)
        elif self.mirror is not None and (joined or (self.mirror.forwarded and self._lingers)):
            yield from self.mirror.take(limit)

    @property
    def _lingers(self) -> bool:
        return time.monotonic() < self._lingers_until

    def _take_leftover(self, leftover: Mirror, limit: int) -> Iterator[tuple[bytes, bytes]]:
        if self._lingers:
            leftover.update()
        yield from leftover.take(limit)
        if not leftover.connection.has_more and (leftover.connection.fault or not self._lingers):
            leftover.connection.close()
            self.leftover = None

    def linger(self) -> None:
        """Let messages be taken for some more time, though the link is not joined any more."""
        self._lingers_until = time.monotonic() + LINGER_SECONDS

    def keep_or_end(self) -> None:
        """End the subscription, unless the link was joined with it and its connection is sound."""
        if self.mirror is not None and (self.mirror.connection.fault or not self.mirror.forwarded):
            self.end()

    def end(self) -> None:
        """End the subscription. Messages that came while the link was joined can still be taken."""
        mirror, self.mirror = self.mirror, None
        if mirror is not None and mirror.forwarded:
            self.leftover = mirror  # there is no older one: see begin()
        elif mirror is not None:
            mirror.connection.close()

    def close(self) -> None:
        """Close the connections."""
        for mirror in (self.mirror, self.leftover):
            if mirror is not None:
                mirror.connection.close()
