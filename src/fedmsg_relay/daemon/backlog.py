"""Submitted batches that wait until the pipeline takes them, one from each submitter in turn.

So each submitter gets its share, however much the others send.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from fedmsg_relay.daemon.turn import ReturnPath
from fedmsg_relay.network.peer import Peer
from fedmsg_relay.runtime import drops, limits
from fedmsg_relay.runtime.log import log

RETRY_AFTER = 0.5
"""Seconds after which a submitter shall try again when too many batches wait."""


class Batch(NamedTuple):
    """A submitted batch.

    Attributes:
        messages: topic and body of each message.
        reply_to: where its reply goes.
        size: bytes of all its messages.
    """

    messages: list[tuple[bytes, bytes]]
    reply_to: ReturnPath
    size: int


class Backlog:
    """The waiting batches of all submitters, bounded in bytes.

    Attributes:
        turned_back: number of batches for which there was no room.
    """

    def __init__(self) -> None:
        self.turned_back = 0
        self._of: dict[Peer, deque[Batch]] = {}
        self._turns: deque[Peer] = deque()
        self._bytes = 0
        self._told = 0
        self._next_told = 0.0

    def __bool__(self) -> bool:
        return bool(self._turns)

    def put(self, batch: Batch) -> bool:
        """Let a batch wait, if there is room for it.

        Half of the room is for submitters that have no batch waiting. So a submitter that sends batch after batch,
        without waiting for replies, does not take the room from everybody else. One batch may need more than there is:
        else it would be turned back for ever.

        Args:
            batch: the batch.

        Returns:
            Whether it waits.
        """
        peer = batch.reply_to.peer
        waiting = self._of.get(peer, ())
        room = limits.BACKLOG_BYTES // 2 if waiting else limits.BACKLOG_BYTES
        needed = min(batch.size, limits.BACKLOG_BYTES // 2)
        if self._bytes + needed > room or len(waiting) >= limits.WAITING_REQUESTS:
            self.turned_back += 1
            return False
        if not waiting:
            self._of[peer] = deque()
            self._turns.append(peer)
        self._of[peer].append(batch)
        self._bytes += batch.size
        return True

    def take(self) -> Batch:
        """Take the next batch; there must be one."""
        peer = self._turns.popleft()
        waiting = self._of[peer]
        batch = waiting.popleft()
        self._bytes -= batch.size
        if waiting:
            self._turns.append(peer)
        else:
            del self._of[peer]
        return batch

    def report(self, everything: bool = False) -> None:
        """Log how many batches were turned back: the first time at once, then every ``drops.INTERVAL`` seconds.

        Args:
            everything: also log what is not due yet, for the end.
        """
        new, now = self.turned_back - self._told, time.monotonic()
        if new and (everything or now >= self._next_told):
            log.warning("overloaded: %d submitted batches were told to try again in %.1f s", new, RETRY_AFTER)
            self._told, self._next_told = self.turned_back, now + drops.INTERVAL
