"""Submitted batches that wait for their turn: each submitter gets its own turn, whatever the others have sent."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from fedmsg_relay.daemon.batch import Back
from fedmsg_relay.network.greeter import Peer
from fedmsg_relay.runtime import drops, limits
from fedmsg_relay.runtime.log import log

RETRY_AFTER = 0.5
"""Seconds after which a submitter shall try again when too much waits."""


class Request(NamedTuple):
    """A submitted batch.

    Attributes:
        messages: topic and body of each.
        back: where its answer goes.
        size: bytes of its messages.
    """

    messages: list[tuple[bytes, bytes]]
    back: Back
    size: int


class Backlog:
    """The batches of all submitters, bounded in bytes, taken in turn: one of each submitter, then the next of each.

    Attributes:
        turned_back: batches there was no room for.
    """

    def __init__(self) -> None:
        self.turned_back = 0
        self._of: dict[Peer, deque[Request]] = {}
        self._turns: deque[Peer] = deque()
        self._bytes = 0
        self._told = 0
        self._next_told = 0.0

    def __bool__(self) -> bool:
        return bool(self._turns)

    def put(self, request: Request) -> bool:
        """Let a batch wait, if there is room for it.

        Half of the room is for submitters of which nothing waits yet: so who sends one batch after the other, without
        waiting for answers, does not turn everybody else back.

        Args:
            request: the batch.

        Returns:
            Whether it waits.
        """
        peer = request.back.peer
        waiting = self._of.get(peer, ())
        room = limits.BACKLOG_BYTES // 2 if waiting else limits.BACKLOG_BYTES
        if self._bytes + request.size > room or len(waiting) >= limits.WAITING_REQUESTS:
            self.turned_back += 1
            return False
        if not waiting:
            self._of[peer] = deque()
            self._turns.append(peer)
        self._of[peer].append(request)
        self._bytes += request.size
        return True

    def take(self) -> Request:
        """Take the batch whose turn it is; there must be one."""
        peer = self._turns.popleft()
        waiting = self._of[peer]
        request = waiting.popleft()
        self._bytes -= request.size
        if waiting:
            self._turns.append(peer)
        else:
            del self._of[peer]
        return request

    def report(self, everything: bool = False) -> None:
        """Say in the log how many batches were turned back; at once, then every ``drops.INTERVAL`` seconds.

        Args:
            everything: also what is not due yet, at the end.
        """
        new, now = self.turned_back - self._told, time.monotonic()
        if new and (everything or now >= self._next_told):
            log.warning("overloaded: %d submitted batches were told to try again in %.1f s", new, RETRY_AFTER)
            self._told, self._next_told = self.turned_back, now + drops.INTERVAL
