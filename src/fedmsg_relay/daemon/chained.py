"""The stage of a chained relay: it forwards, until the relay upstream turns out to be chained to this one.

Two relays that are chained to each other publish nothing. A move back makes such a pair: the relay that leaves is
chained to the one that it was the upstream of. Then this stage publishes by itself from the next turn on, until the
relay is restarted. :attr:`fedmsg_relay.chain.link.Link.leads_back` decides which of the two does.
"""

from __future__ import annotations

import socket
from collections.abc import Set as AbstractSet
from functools import partial

from fedmsg_relay.chain.links import Links
from fedmsg_relay.daemon.forwarding import ForwardingStage
from fedmsg_relay.daemon.listener_wait import ListenerWait
from fedmsg_relay.daemon.publishing import PublishingStage
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime.log import log


class ChainedStage:
    """Forwards, and then perhaps publishes (see :class:`fedmsg_relay.daemon.stage.Stage`).

    Args:
        identity: of this relay.
        guard: of the journal.
        outbound: where to publish.
        wait: delays publishing after a start.
        links: to the relays upstream.

    Attributes:
        forwarding: the stage that forwards; None once it has ended.
        unchained_from: the submit addresses of the relays that this one was chained to, once it publishes by itself.
    """

    def __init__(
        self, identity: str, guard: JournalGuard, outbound: Outbound, wait: ListenerWait, links: Links
    ) -> None:
        self.forwarding: ForwardingStage | None = ForwardingStage(identity, guard, outbound, wait, links)
        self.unchained_from: list[str] = []
        self._publishing = partial(PublishingStage, identity, guard, outbound, wait)
        self._stage: Stage = self.forwarding

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        return self._stage.idle

    @property
    def ready_to_stop(self) -> bool:
        """Whether a stop has nothing more to wait for."""
        return self._stage.ready_to_stop

    @property
    def takes_forwarded(self) -> bool:
        """Whether messages that a chained relay forwards to us come out, and do not come back to that relay."""
        return self._stage.takes_forwarded

    @property
    def wakeup_sockets(self) -> AbstractSet[socket.socket]:
        """Sockets that wake the relay's loop."""
        return self._stage.wakeup_sockets

    def introduce(self, subscription: bytes) -> bytes:
        """Make the answer to a chained relay that asks which relay this is.

        Args:
            subscription: the topic that the chained relay has subscribed to at outbound.
        """
        return self._stage.introduce(subscription)

    def send(self, turn: Turn) -> bool:
        """Send the next messages in the journal's order.

        Args:
            turn: the current turn; its entries are in the journal.

        Returns:
            Whether there is more to do at once.
        """
        self._leave_loop(turn)
        return self._stage.send(turn)

    def send_unjournaled(self, turn: Turn) -> bool:
        """Send the entries of a turn that could not be journaled.

        Args:
            turn: the current turn; it has entries.

        Returns:
            Whether there is more to do at once.
        """
        self._leave_loop(turn)
        return self._stage.send_unjournaled(turn)

    def note_published(self) -> None:
        """Note in the journal which messages are out for good."""
        self._stage.note_published()

    def close(self) -> None:
        """Close the links, if there are any."""
        if self.forwarding is not None:
            self.forwarding.close()

    def _leave_loop(self, turn: Turn) -> None:
        if self.forwarding is None or not self.forwarding.leads_back:
            return
        self.unchained_from = [link.submit_address for link in self.forwarding.links]
        unjournaled = self.forwarding.end(turn)
        self.forwarding = None
        self._stage = self._publishing()
        if unjournaled:
            self._stage.send_unjournaled(Turn(turn.base, entries=unjournaled, counts=turn.counts))
        log.warning(
            "this relay publishes by itself until it is restarted: %s is chained to it", " ".join(self.unchained_from)
        )
