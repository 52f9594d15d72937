"""The mirror of an upstream: a subscription to everything that the relay publishes at its outbound."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from fedmsg_relay.chain.outgoing import Kind, Outgoing
from fedmsg_relay.network import handshake, outbound
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log


class Mirror:
    """A subscription to all that a relay publishes.

    Args:
        address: of the relay's outbound.
        max_bytes: maximum size of a message; a larger one is not taken in.

    Attributes:
        address: of the relay's outbound.
        token: a topic that only this mirror subscribes to, after all others. The relay can be asked whether it has this
            subscription; if so, it has all of them.
        connection: to the relay's outbound.
        forwarded: whether messages from here are published, so that those which are left may be as well.
    """

    def __init__(self, address: str, max_bytes: int) -> None:
        self.address = address
        self.token = outbound.MIRROR + uuid.uuid4().hex.encode()
        kind = Kind(handshake.SUB, max_bytes, limits.MIRROR_BYTES, greeting=[[b"\x01" + self.token]])
        self.connection = Outgoing(address, kind)
        self.forwarded = False
        self._oversized = 0

    def update(self) -> None:
        """Take in what has come, without waiting."""
        self.connection.update()
        if self.connection.oversized and not self._oversized:
            told = "upstream %s publishes messages of more than %d bytes, which are not forwarded"
            log.warning(told, self.address, self.connection.max_bytes)
        self._oversized = self.connection.oversized

    def take(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Take messages.

        Args:
            limit: maximum number of messages.

        Yields:
            Topic and body.
        """
        for frames in self.connection.take(limit):
            if len(frames) == 2:  # a relay publishes no others
                yield frames[0], frames[1]
