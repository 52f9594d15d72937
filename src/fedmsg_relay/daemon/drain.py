"""The drain at a stop (SIGTERM): the relay takes in what publishers have written, within bounds, before it closes."""

from __future__ import annotations

import time
from collections.abc import Callable

from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log

DRAIN_SECONDS = 10.0
"""Maximum time in which nothing comes from publishers that are connected. An upstream has the same time once more."""

LONGEST_DRAIN_SECONDS = 50.0
"""Maximum time for taking in what comes at inbound.

TimeoutStopSec of the unit leaves room for this, for the three times below, and for an upstream.
"""

LINGER_SECONDS = 10.0
"""Maximum time that listeners have, at the end, to take what is queued for them."""

ANSWER_SECONDS = 2.0
"""Maximum time that submitters have, at the end, to take their replies."""

ABANDON_SECONDS = 1.0
"""Maximum time for counting what is dropped at the end."""

QUIET_SECONDS = 0.1
"""Maximum time that a stop waits for the end of a publisher's burst."""


def take_in_rest(
    inbound: Receiver, submits: Receiver, turn: Callable[[], bool], sign_of_life: Callable[[], None]
) -> None:
    """Take in and send on what publishers have written.

    New peers are not let in. Then each connection is half-closed: a publisher that reads end of file closes in turn,
    and keeps for the next relay what it had not yet written. All that it had written is taken in.

    Args:
        inbound: where publishers are connected.
        submits: where submitters are connected.
        turn: takes one turn of the pipeline; tells whether there is more to do at once.
        sign_of_life: feeds the watchdog.
    """
    started = heard = now = time.monotonic()
    more = True
    while now < started + LONGEST_DRAIN_SECONDS:
        # Every time: the kernel tells only later of a peer that connected just before the door was closed.
        inbound.greeter.keep_out_newcomers()
        submits.greeter.keep_out_newcomers()
        inbound.peers.half_close(only_quiet=now < started + QUIET_SECONDS)
        connected = inbound.connected.addresses
        silent = now >= heard + DRAIN_SECONDS
        if inbound.wait(0 if more and not silent else 0.01):
            heard = now
        elif silent or not (more or connected or inbound.connected.addresses):
            break
        more = turn()
        sign_of_life()
        now = time.monotonic()
    if inbound.connected.addresses:
        log.warning("publishers did not close within %.0f s: %s", now - started, ", ".join(inbound.connected.addresses))


def abandon(inbound: Receiver) -> None:
    """Log how many messages of publishers are dropped unread; there may be more than can be counted in time.

    Args:
        inbound: where publishers are connected.
    """
    count, deadline = 0, time.monotonic() + ABANDON_SECONDS
    while time.monotonic() < deadline:
        found = list(inbound.receive(limits.MIN_REQUEST_BYTES, limits.MAX_FRAMES, limits.MIN_CUT_BYTES))
        count += sum(len(messages) for _, messages in found)
        if not inbound.has_more and not found:
            break
    if count:
        log.error("stopped while more came in at inbound: dropped at least %d unread messages", count)
