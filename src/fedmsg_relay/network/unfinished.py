"""The unfinished messages of an endpoint: how much memory they hold, and which one goes on when that is too much.

Large messages of many peers at once are not the fault of any of them. So beyond ``limits.HELD_BYTES`` no peer is cut:
the message that began first is read on, the others wait, and TCP holds their senders back. Only a peer that keeps the
others waiting is cut.
"""

from __future__ import annotations

import time

from fedmsg_relay.network.peer import Peer
from fedmsg_relay.runtime import limits


class Unfinished:
    """Keeps count of unfinished messages, by their peers, and of the peers that are held back."""

    def __init__(self) -> None:
        self._bytes = 0
        self._large: dict[Peer, None] = {}  # in the order in which their messages began
        self._held_back: dict[Peer, None] = {}
        self._reading: Peer | None = None
        self._since = 0.0

    @property
    def too_much(self) -> bool:
        """Whether they hold so much that only one large message goes on."""
        return self._bytes > limits.HELD_BYTES

    @property
    def first(self) -> Peer | None:
        """The peer whose large message began first."""
        return next(iter(self._large), None)

    def note(self, peer: Peer, before: int, *, finished: bool) -> None:
        """Note that a peer has sent something.

        Args:
            peer: the peer.
            before: bytes that it held before.
            finished: whether that finished a message.
        """
        self._bytes += peer.splitter.held - before
        large = peer.splitter.held > limits.UNHELD_BYTES
        if finished or not large:
            self._large.pop(peer, None)
        if large:
            self._large[peer] = None

    def forget(self, peer: Peer) -> None:
        """Forget a peer that is gone."""
        self._bytes -= peer.splitter.held
        self._large.pop(peer, None)
        self._held_back.pop(peer, None)
        peer.held_back = False

    def waits(self, peer: Peer) -> bool:
        """Tell whether a peer has to wait with the rest of its message."""
        return self.too_much and peer in self._large and peer is not self.first

    def hold_back(self, peer: Peer) -> None:
        """Note that nothing of a peer is read for now."""
        self._held_back[peer] = None
        peer.held_back = True

    @property
    def any_held_back(self) -> bool:
        """Whether a peer waits."""
        return bool(self._held_back)

    def resume(self) -> list[Peer]:
        """Let peers go on: all of them if there is room again, else the one whose message began first."""
        first = self.first
        if not self.too_much or first is None:
            resumed = [*self._held_back]
        else:
            resumed = [first] if first in self._held_back else []
        for peer in resumed:
            del self._held_back[peer]
            peer.held_back = False
        return resumed

    def stalled(self) -> bool:
        """Tell whether the first peer is silent, or takes too long. To be asked while others wait for it."""
        now, first = time.monotonic(), self.first
        if first is None or first is not self._reading:
            self._reading, self._since = first, now
            return False
        silent = now - max(first.heard, self._since)
        return silent > limits.STALLED_SECONDS or now - self._since > limits.UNFINISHED_SECONDS
