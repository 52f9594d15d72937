"""Sources: which IP addresses may publish and submit, how much each may submit, and which send most.

A peer of ipc has no IP address. It is a process of this host that the permissions of the socket's file let in, so
neither the lists nor the rate concern it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from fedmsg_relay.daemon.rate import Rate
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.network.counts import AddressCounts, CountsStatus
from fedmsg_relay.network.networks import Networks
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.runtime.drops import DropLog

LOCAL = "local"
"""All peers of ipc together, in the counts."""


class SourcesStatus(TypedDict):
    """The IP addresses that messages came from since the start, with counts.

    Attributes:
        published: messages that came at inbound.
        inbound_refused: messages quarantined, as ``trust.inbound_from`` does not have their address.
        submit_refused: messages refused, as ``trust.submit_from`` does not have their address.
        held_back: submitted batches that were told to try again, as their address was beyond ``limits.submit_rate``.
    """

    published: CountsStatus
    inbound_refused: CountsStatus
    submit_refused: CountsStatus
    held_back: CountsStatus


class Sources:
    """Judges peers by their IP addresses, and counts.

    Attributes:
        inbound_refused: counts messages of publishers that may not publish.
        submit_refused: counts messages of submitters that may not submit.
    """

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._inbound: Networks | None = None
        self._submit: Networks | None = None
        self._rate: Rate | None = None
        self.inbound_refused, self.submit_refused = AddressCounts(), AddressCounts()
        self._published, self._held_back = AddressCounts(), AddressCounts()
        self._told = DropLog("told %d %s to try again: beyond limits.%s (last from %s)", "request")

    def use(self, settings: Settings) -> None:
        """Judge by these settings from now on.

        Args:
            settings: the daemon's own settings.
        """
        if settings is self._settings:
            return
        self._inbound = _networks(settings.trust.inbound_from)
        self._submit = _networks(settings.trust.submit_from)
        rate = settings.limits.submit_rate
        if self._settings is None or rate != self._settings.limits.submit_rate:
            self._rate = Rate(rate) if rate else None
        self._settings = settings

    def may_publish(self, peer: Peer) -> bool:
        """Tell whether messages of a publisher are taken; the probe is, in any case.

        Args:
            peer: the publisher.
        """
        return self._inbound is None or not peer.ip or peer.ip in self._inbound

    def may_be_released(self, source: str) -> bool:
        """Tell whether a message of the quarantine, which came at inbound, is taken now.

        Args:
            source: from the quarantine: an IP address, or the name of a peer of ipc.
        """
        try:
            return self._inbound is None or source in self._inbound
        except ValueError:  # it is not an IP address
            return True

    def may_submit(self, peer: Peer) -> bool:
        """Tell whether batches of a submitter are taken.

        Args:
            peer: the submitter.
        """
        return self._submit is None or not peer.ip or peer.ip in self._submit

    def wait(self, peer: Peer) -> float:
        """Tell how long the next batch of a submitter has to wait; if it has to, this counts.

        Args:
            peer: the submitter.

        Returns:
            Seconds, for ``retry_after``; 0 if it may come now.
        """
        if self._rate is None or not peer.ip:
            return 0.0
        seconds = self._rate.wait(peer.ip)
        if seconds:
            self._held_back.add(peer.ip, 1)
            self._told.note("submit_rate", peer.ip)
        return math.ceil(seconds * 1000) / 1000

    def note_taken(self, peer: Peer, messages: int) -> None:
        """Note a batch that was taken from a submitter.

        Args:
            peer: the submitter.
            messages: number of messages in the batch.
        """
        if self._rate is not None and peer.ip:
            self._rate.charge(peer.ip, messages)

    def note_published(self, peer: Peer, messages: int) -> None:
        """Note messages that came at inbound.

        Args:
            peer: the publisher.
            messages: number of them.
        """
        self._published.add(peer.ip or LOCAL, messages)

    def report(self, everything: bool = False) -> None:
        """Log the addresses that were told to try again.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._told.report(everything)

    def describe(self) -> SourcesStatus:
        """Describe the counts for the status."""
        return {
            "published": self._published.describe(),
            "inbound_refused": self.inbound_refused.describe(),
            "submit_refused": self.submit_refused.describe(),
            "held_back": self._held_back.describe(),
        }


def _networks(texts: Sequence[str]) -> Networks | None:
    return Networks(texts) if texts else None
