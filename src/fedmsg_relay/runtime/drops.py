"""Log lines for dropped messages, few enough that a peer that sends rubbish does not fill the log."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fedmsg_relay.runtime.log import log

INTERVAL = 10.0
"""Seconds between two lines for the same reason; the first comes at once."""


@dataclass
class _Pending:
    count: int = 0
    source: str = ""
    next_line: float = 0.0


class DropLog:
    """One line a reason, then at most one every ``INTERVAL`` seconds with what came in between.

    Args:
        line: with places for the number, the noun, the reason and the peer.
        noun: what is counted, in the singular.
    """

    def __init__(self, line: str = "dropped %d %s: %s (last from %s)", noun: str = "message") -> None:
        self._line = line
        self._noun = noun
        self._pending: dict[str, _Pending] = {}
        self._waiting = False

    def note(self, reason: str, source: str) -> None:
        """Remember one.

        Args:
            reason: why it was dropped, or else is to be told of.
            source: IP address of its peer.
        """
        pending = self._pending.setdefault(reason, _Pending())
        pending.count += 1
        pending.source = source.removeprefix("::ffff:")
        self._waiting = True

    def report(self, everything: bool = False) -> None:
        """Write the lines that are due.

        Args:
            everything: also drops that are not due yet, for the end.
        """
        if not self._waiting:
            return
        now = time.monotonic()
        for reason, pending in self._pending.items():
            if pending.count and (everything or now >= pending.next_line):
                noun = self._noun if pending.count == 1 else f"{self._noun}s"
                log.warning(self._line, pending.count, noun, reason, pending.source)
                pending.count, pending.next_line = 0, now + INTERVAL
        # A reason may be the word of a peer.
        self._pending = {reason: each for reason, each in self._pending.items() if each.count or now < each.next_line}
        self._waiting = any(pending.count for pending in self._pending.values())


class Allowance:
    """Lines that may be written about one thing: ``AT_ONCE``, and one more every ``INTERVAL`` seconds."""

    AT_ONCE = 6

    def __init__(self) -> None:
        self._lines = float(self.AT_ONCE)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Take one, if there is one."""
        now = time.monotonic()
        self._lines = min(self.AT_ONCE, self._lines + (now - self._at) / INTERVAL)
        self._at = now
        if self._lines < 1:
            return False
        self._lines -= 1
        return True
