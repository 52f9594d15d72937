"""Delivers what waits on a host before the program goes, and counts what still waits."""

from __future__ import annotations

import time
from pathlib import Path

from .command import Run, attempt
from .relay import Relay

PATIENCE = 10
TRIES = 6


def messages(spool: str) -> int:
    """Count the messages that wait.

    Args:
        spool: its directory.

    Returns:
        The number.
    """
    return sum(path.is_file() for path in Path(spool).glob("*.msg"))


def deliver(relay: Relay, spool: str, user: str, run: Run) -> int:
    """Deliver what waits in the spool.

    Args:
        relay: knows the program.
        spool: its directory.
        user: the user that delivers.
        run: runs a command.

    Returns:
        The number of messages that still wait.
    """
    if messages(spool):
        command = [relay.program, "spool", "deliver", f"--patience={PATIENCE}"]
        attempt(run, ["runuser", f"--user={user}", "--", *command])
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
