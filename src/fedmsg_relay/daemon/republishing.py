"""Publishes at a chained relay's outbound what its upstream publishes, and own messages that were missed there."""

from __future__ import annotations

from fedmsg_relay.chain.echo import Echo
from fedmsg_relay.chain.link import Link
from fedmsg_relay.chain.links import Links
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime.log import log

HEARD_MESSAGES = 1000
"""Messages heard from each upstream relay that are published in one turn."""

ECHO_SECONDS = 5.0
"""Time after which a message that the upstream has taken, and that is not heard there, is published here.

It counts for each relay of the chain: a restarted relay may wait half as long for its previous listeners.
"""


class Republishing:
    """Publishes what is heard from the upstream.

    Args:
        outbound: where to publish.
        links: to the relays upstream.
        echo: own messages that are yet to be heard.
    """

    def __init__(self, outbound: Outbound, links: Links, echo: Echo) -> None:
        self._outbound = outbound
        self._links = links
        self._echo = echo

    def publish_heard(self) -> bool:
        """Publish what was heard, and what should have been.

        Returns:
            Whether there may be more.
        """
        more = False
        for link in self._links:
            number = link.pass_over(HEARD_MESSAGES) if self._links.repeats(link) else self._publish(link)
            more = more or number == HEARD_MESSAGES
        using = self._links.using
        if more or using is None:
            self._echo.restart_wait()
        elif self._echo.waited_seconds > ECHO_SECONDS * len(using.chain):
            self.publish_missed()
        return more

    def _publish(self, link: Link) -> int:
        """Publish what was heard over a link; return the number of messages."""
        number = 0
        for number, message in enumerate(link.heard(HEARD_MESSAGES), start=1):  # noqa: B007 -- counted for below
            for missed in self._echo.hear(message):
                self._outbound.publish(*missed)
            self._outbound.publish(*message)
        return number

    def publish_missed(self) -> None:
        """Publish what the upstream has taken and what was not heard there."""
        number = 0
        for number, missed in enumerate(self._echo.missed(), start=1):  # noqa: B007 -- counted for below
            self._outbound.publish(*missed)
        if number:
            log.info("published %d messages that the upstream has taken and that were not heard there", number)
