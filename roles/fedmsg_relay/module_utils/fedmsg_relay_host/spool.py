"""Delivers what waits on a host before the program goes, and counts what still waits."""

from __future__ import annotations

import time
from pathlib import Path

from .command import Run, attempt
from .relay import Relay

UNIT = "fedmsg-relay-spool.service"
TRIES = 6


def messages(spool: str) -> int:
    """Count the messages that wait.

    Args:
        spool: its directory.

    Returns:
        The number.
    """
    return sum(path.is_file() for path in Path(spool).glob("*.msg"))


def deliver(spool: str, run: Run) -> int:
    """Deliver what waits in the spool, by the unit: it has the groups that may read the key to sign with.

    Args:
        spool: its directory.
        run: runs a command.

    Returns:
        The number of messages that still wait.
    """
    if messages(spool):
        attempt(run, ["systemctl", "start", UNIT])
    return messages(spool)


def passed_on(relay: Relay) -> int:
    """Wait for some seconds until a relay has passed on all its messages.

    Args:
        relay: it. A stopped relay does not answer: its journal is kept.

    Returns:
        The number of messages that still wait.
    """
    waiting = 0
    for attempts in range(TRIES):
        if attempts:
            time.sleep(1)
        waiting = int((relay.status().get("messages") or {}).get("waiting", 0))
        if not waiting:
            break
    return waiting
