"""The links to all relays upstream: which one gets the messages, and how the chain stands."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from fedmsg_relay.chain.link import Link
from fedmsg_relay.chain.state import State


class Links:
    """The links of a chained relay. The first one that is joined gets everything; all of them are listened to.

    Of relays that are chained to each other one is listened to: the others publish the same messages.

    Args:
        links: to each relay upstream.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links)

    @property
    def using(self) -> Link | None:
        """The link over which batches are submitted now."""
        return next((link for link in self._links if link.state == State.JOINED), None)

    @property
    def state(self) -> State:
        """State of the chain: joined if one link is, else a loop if there is one."""
        return min((link.state for link in self._links), key=[State.JOINED, State.LOOP, State.AWAY].index)

    @property
    def chain(self) -> list[str]:
        """Identities of the relays upstream, as far as they have told."""
        using = self.using
        return using.chain if using else [each for link in self._links for each in link.chain]

    def repeats(self, link: Link) -> bool:
        """Tell whether a link brings only messages that another one brings as well.

        Args:
            link: one of these.

        Returns:
            True if its relay is chained to that of another link, or is the same relay as that of an earlier one.
        """
        if link.state != State.JOINED:
            return False
        place = self._links.index(link)
        for number, other in enumerate(self._links):
            chain = link.chain if number < place else link.chain[1:]
            if number != place and other.state == State.JOINED and other.chain[0] in chain:
                return True
        return False

    @property
    def leads_back(self) -> bool:
        """Whether no link is joined, and this is the relay that is to publish by itself (:attr:`Link.leads_back`)."""
        return self.using is None and any(link.leads_back for link in self._links)

    @property
    def idle(self) -> bool:
        """Whether no link has anything to do until something comes."""
        return all(link.idle for link in self._links)

    def wakeup_sockets(self, forwarding: bool) -> set[socket.socket]:
        """Get the sockets that wake the relay's loop.

        Args:
            forwarding: whether messages that the relays publish are wanted now.
        """
        return {found for link in self._links for found in link.wakeup_sockets(forwarding)}

    def limit(self, max_bytes: int) -> None:
        """Change the maximum size of a message that the relays publish.

        Args:
            max_bytes: the new one.
        """
        for link in self._links:
            link.limit(max_bytes)

    def close(self) -> None:
        """Close all connections."""
        for link in self._links:
            link.close()
