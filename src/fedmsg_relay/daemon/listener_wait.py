"""The wait after a restart: publishing waits, within a bound, until the previous listeners are connected again.

The journal notes which listeners are connected, so that the next start can wait for them.
"""

from __future__ import annotations

import time

from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime.log import log

WAIT_SECONDS = 2.5
"""Maximum time that a start waits for the previous listeners. Stock listeners reconnect within a second or two."""

LOOK_SECONDS = 1.0
"""Minimum time between two notes of the listeners."""


class ListenerWait:
    """Keeps publishing waiting until the previous listeners are back, or :data:`WAIT_SECONDS` have passed.

    Args:
        outbound: where the listeners connect.
        expected: the previous listeners, one entry for each connection, from :meth:`Outbound.hosts`.
    """

    def __init__(self, outbound: Outbound, expected: list[str]) -> None:
        self._outbound = outbound
        self._expected = expected
        self._until = time.monotonic() + WAIT_SECONDS if expected else 0.0

    @property
    def over(self) -> bool:
        """Whether publishing may go on. This looks at the listeners; :attr:`on` does not."""
        if self._until and not self._outbound.returned(self._expected):
            if time.monotonic() < self._until:
                return False
            missed = ", ".join(self._expected)
            log.warning("not all previous listeners are back (%s): publishing begins without them", missed)
        self._until = 0.0
        return True

    @property
    def on(self) -> bool:
        """Whether publishing had to wait when :attr:`over` was last looked at."""
        return bool(self._until)

    def give_up(self) -> None:
        """End the wait now."""
        self._until = 0.0


class ListenerNote:
    """Notes in the journal which listeners are connected, for the wait of the next start.

    Args:
        guard: of the journal.
        outbound: where the listeners are connected.
        wait: of this start; while it is on, the previous listeners stay noted.
    """

    def __init__(self, guard: JournalGuard, outbound: Outbound, wait: ListenerWait) -> None:
        self._guard = guard
        self._outbound = outbound
        self._wait = wait
        self._noted = guard.listeners
        self._changes = -1
        self._next_look = 0.0

    def update(self) -> None:
        """Note the listeners, if they have changed, at most every :data:`LOOK_SECONDS`."""
        if time.monotonic() >= self._next_look:
            self.write()

    def write(self) -> None:
        """Note the listeners, if they have changed."""
        connected = self._outbound.listeners.connected
        changes = connected.accepted + connected.closed + self._outbound.subscriptions
        if changes == self._changes or self._wait.on:
            return
        hosts = sorted(self._outbound.hosts())
        if hosts != self._noted:
            self._next_look = time.monotonic() + LOOK_SECONDS
            if not self._guard.remember_listeners(hosts):
                return
            self._noted = hosts
        self._changes = changes
