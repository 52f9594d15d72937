"""Decides whether a link is joined, from what the relay at its other end says of itself.

A link is *joined* when three things are known of that relay: its own chain ends at a relay that publishes by itself,
that chain does not lead back here, and the relay has our subscription to its outbound.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from fedmsg_relay.chain.state import State
from fedmsg_relay.chain.subscription import Subscription
from fedmsg_relay.submit import Introduction

INQUIRE_SECONDS = 1.0
"""Time between two inquiries which relay the upstream is. The answer may change when its own upstream does."""

UNHEARD_SECONDS = 0.05
"""The same, while it does not have our subscription yet."""

HEAR_SECONDS = 3.0
"""Time after which the link to a relay that does not take our subscription connects anew."""


class BrokenError(Exception):
    """A fault that ends a link."""


class Decision(NamedTuple):
    """The decision on a link, from an introduction.

    Attributes:
        state: the state that the link takes; None if it stays in its state.
        why: the reason for it, for a person.
        pause: seconds until the next inquiry.
    """

    state: State | None
    why: str
    pause: float


def decide(relay: Introduction, identity: str, subscription: Subscription, state: State) -> Decision:
    """Decide which state a link is in.

    Args:
        relay: what the upstream says of itself.
        identity: of this relay.
        subscription: to the upstream's outbound.
        state: the present state of the link.

    Raises:
        BrokenError: the upstream does not take the subscription.
    """
    mirror = subscription.mirror
    chain = " -> ".join(relay.chain)
    if identity in relay.chain:
        return Decision(State.LOOP, f"its chain leads back here ({chain}): nothing is forwarded", INQUIRE_SECONDS)
    if relay.complete and relay.heard:
        return Decision(State.JOINED, f"chain {chain}", INQUIRE_SECONDS)
    if not relay.complete:
        return Decision(State.AWAY, "its own upstream is away", UNHEARD_SECONDS)
    if mirror is not None and not mirror.connection.up:
        why = mirror.connection.waits_for
        return Decision(State.AWAY if why else None, why, UNHEARD_SECONDS)
    if state == State.JOINED or (mirror is not None and time.monotonic() - mirror.connection.up_since > HEAR_SECONDS):
        raise BrokenError(f"it does not have our subscription to {subscription.address}")
    return Decision(None, "", UNHEARD_SECONDS)
