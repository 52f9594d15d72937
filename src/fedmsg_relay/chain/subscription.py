"""The subscription of a link to the upstream's outbound, and what is left of the previous one."""

from __future__ import annotations

from collections.abc import Iterator

from fedmsg_relay.chain.mirror import Mirror
from fedmsg_relay.chain.outgoing import Outgoing


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
        """Subscribe, if that has not been done yet."""
        if self.mirror is None:
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
            self.leftover.update()
            yield from self.leftover.take(limit)
            if self.leftover.over:
                self.leftover.connection.close()
                self.leftover = None
        elif joined and self.mirror is not None:
            yield from self.mirror.take(limit)

    def end(self) -> None:
        """End the subscription. Messages that came while the link was joined can still be taken."""
        mirror, self.mirror = self.mirror, None
        if mirror is not None and mirror.forwarded:
            mirror.leave()
            self.leftover = mirror  # there is no older one: with one, the link would not have been joined
        elif mirror is not None:
            mirror.connection.close()

    def close(self) -> None:
        """Close the connections."""
        for mirror in (self.mirror, self.leftover):
            if mirror is not None:
                mirror.connection.close()
