"""The listeners that do not keep up: finds out whose queue is full, and when it has caught up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fedmsg_relay import tcp
from fedmsg_relay.network.listeners import Listeners
from fedmsg_relay.runtime.log import log

CHECK_SECONDS = 1.0
"""Interval at which laggards are looked at."""


@dataclass
class Laggard:
    """A listener that does not keep up.

    Attributes:
        address: of the listener.
        since: Unix seconds when its queue was full.
        published: messages that had been published by then.
        acked: bytes its kernel had acknowledged by then.
        lost: messages published since, which is about what it has lost.
    """

    address: str
    since: float
    published: int
    acked: int
    lost: int = 0


class Laggards:
    """The laggards among the listeners.

    Args:
        listeners: all listeners.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._laggards: dict[int, Laggard] = {}
        self._checked = time.monotonic()

    def all(self) -> list[Laggard]:
        """Get all laggards."""
        return list(self._laggards.values())

    def flows(self) -> dict[int, tcp.Flow | None]:
        """Look how far the connection of each listener is."""
        return {fd: tcp.flow(fd) for fd, _ in self._listeners.connections()}

    def find(self, before: Mapping[int, tcp.Flow | None], published: int) -> None:
        """Find whose connection has stood still with bytes to send: theirs is the full queue.

        From here on libzmq passes over that listener without a word, until its queue has room: it must be found now.
        So where all move it is the listener that is furthest behind.

        Args:
            before: :meth:`flows` of some time ago.
            published: messages that have been published.
        """
        behind = {}
        for fd, address in self._listeners.connections():
            if fd not in self._laggards and (now := tcp.flow(fd)) and now.unsent:
                behind[fd] = (now, address)
        still = [fd for fd, (now, _) in behind.items() if now == before.get(fd)]
        for fd in still or sorted(behind, key=lambda fd: behind[fd][0].unsent)[-1:]:
            now, address = behind[fd]
            self._laggards[fd] = Laggard(address, time.time(), published, now.acked)
            log.warning("listener %s does not keep up: it loses messages from here on", address)

    def check(self, published: int) -> None:
        """Lift a laggard that has caught up or left, at most every :data:`CHECK_SECONDS`; say how much it lost.

        Args:
            published: messages that have been published.
        """
        if not self._laggards or time.monotonic() - self._checked < CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        present = dict(self._listeners.connections())
        for fd, laggard in list(self._laggards.items()):
            state = tcp.flow(fd) if present.get(fd) == laggard.address else None
            if state is None:
                log.warning("listener %s left without catching up; it lost about %d", laggard.address, laggard.lost)
                del self._laggards[fd]
            elif state.unsent == 0 and state.acked > laggard.acked:
                log.warning("listener %s has caught up; it lost about %d messages", laggard.address, laggard.lost)
                del self._laggards[fd]
            else:
                laggard.lost = published - laggard.published
