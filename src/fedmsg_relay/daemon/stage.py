"""The stage after the journal, as the pipeline sees it: a relay publishes by itself, or forwards to its upstream."""

from __future__ import annotations

import socket
from collections.abc import Set as AbstractSet
from typing import Protocol

from fedmsg_relay.daemon.turn import Turn


class Stage(Protocol):
    """Sends messages in the journal's order, to outbound or to the upstream, and counts them as published."""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""

    @property
    def ready_to_stop(self) -> bool:
        """Whether a stop has nothing more to wait for."""

    @property
    def takes_forwarded(self) -> bool:
        """Whether messages that a chained relay forwards to us come out, and do not come back to that relay."""

    @property
    def wakeup_sockets(self) -> AbstractSet[socket.socket]:
        """Sockets that wake the relay's loop."""

    def introduce(self, subscription: bytes) -> bytes:
        """Make the answer to a chained relay that asks which relay this is.

        Args:
            subscription: the topic that the chained relay has subscribed to at outbound.
        """

    def send(self, turn: Turn) -> bool:
        """Send the next messages in the journal's order.

        Args:
            turn: the current turn; its entries are in the journal.

        Returns:
            Whether there is more to do at once.
        """

    def send_unjournaled(self, turn: Turn) -> bool:
        """Send the entries of a turn that could not be journaled.

        Args:
            turn: the current turn; it has entries.

        Returns:
            Whether there is more to do at once.
        """

    def note_published(self) -> None:
        """Note in the journal which messages are published, if it is time for that."""
