"""Waits until a relay, or old addresses of one, are unused."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .relay import Relay

INTERVAL = 5
Status = Mapping[str, Any]
Addresses = Mapping[str, Sequence[str]]


def wait(relay: Relay, grace: float, seconds: float, old: Addresses) -> dict[str, Any]:
    """Ask a relay how it is until it is unused for long enough, or the time is over.

    Args:
        relay: it.
        grace: seconds for which it must have been unused.
        seconds: how long to wait at most; 0 to ask once.
        old: the addresses that are to be unused, by endpoint; the whole relay if there are none.

    Returns:
        Its last status; empty if it does not answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        status = relay.status()
        done = addresses_are_unused(status, grace, old) if old else is_unused(status, grace)
        left = deadline - time.monotonic()
        if done or left <= 0:
            return status
        time.sleep(min(INTERVAL, left))


def is_unused(status: Status, grace: float) -> bool:
    """Whether nobody has used a relay, and it has passed on all its messages.

    Args:
        status: of the relay.
        grace: seconds for which it must have been unused.

    Returns:
        Whether it is so.
    """
    idle = (status.get("peers") or {}).get("idle_seconds") or 0
    return idle > 0 and idle >= grace and status["messages"]["waiting"] == 0


def addresses_are_unused(status: Status, grace: float, old: Addresses) -> bool:
    """Whether nobody has used some addresses.

    Args:
        status: of the relay.
        grace: seconds for which they must have been unused.
        old: the addresses by endpoint.

    Returns:
        Whether all are unused; not if the relay does not report the use of one.
    """
    quiet = [one for one in status.get("addresses", ()) if not one["peers"]]
    idle = {(one["endpoint"], one["address"]): one["idle_seconds"] for one in quiet}
    return all(idle.get((endpoint, one), -1) >= grace for endpoint, addresses in old.items() for one in addresses)
