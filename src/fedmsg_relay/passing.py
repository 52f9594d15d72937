"""The stage of a chained relay that takes the place of publishing: what the journal holds is submitted upstream.

What it publishes at its own outbound is what it hears at the upstream's, its own messages among it. So each message is
at every outbound along the chain exactly once, in one order. While upstream is away everything waits in the journal.

Invariants:

1. A message is noted as handed over when upstream has given its receipt, so upstream has it on disk.
2. One batch, of what is journaled or of what could not be, is on its way at a time, always to a relay that is joined
   (:mod:`fedmsg_relay.upstream`); without a receipt the same batch is submitted again, and upstream's dedup window
   knows it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import zmq

from fedmsg_relay import submit
from fedmsg_relay.batch import Batch
from fedmsg_relay.keeper import Keeper
from fedmsg_relay.log import log
from fedmsg_relay.outbound import Outbound
from fedmsg_relay.publishing import Hold
from fedmsg_relay.records import Entry, Record
from fedmsg_relay.upstream import ANSWER_SECONDS, Link, State

_M = TypeVar("_M", Record, Entry)

BATCH_BYTES = 1024 * 1024
"""Bytes after which a batch takes no further message."""

FORWARD_MESSAGES = 1000
"""Messages of each relay upstream that are forwarded in one turn."""

ECHO_SECONDS = 1.0
"""How long a stop waits for what it passed on last to come back, for its own listeners."""

UNJOURNALED_MESSAGES = 10_000
"""Messages kept in memory where they could neither be journaled nor passed on."""


@dataclass
class _OnItsWay:
    """A batch that upstream has not yet answered."""

    link: Link
    messages: list[Record] | list[Entry]
    since: float
    upto: int | None = None
    """Its last seq; None of what could not be journaled."""
    damaged: int = 0


class Passing:
    """Passes on to the relay upstream what the journal holds, and publishes what is heard from there.

    Args:
        identity: of this relay.
        keeper: of the journal.
        outbound: where to publish what is heard.
        hold: until when to wait with that.
        links: to the relays upstream; the first one that is joined gets everything, all of them are listened to.
    """

    def __init__(self, identity: str, keeper: Keeper, outbound: Outbound, hold: Hold, links: list[Link]) -> None:
        self.links = links
        self._identity = identity
        self._keeper = keeper
        self._outbound = outbound
        self._hold = hold
        self._on_its_way: _OnItsWay | None = None
        self._one_by_one = 0
        self._not_before = 0.0
        self._unjournaled: deque[Entry] = deque()
        self._echo: tuple[bytes, bytes] | None = None
        self._echo_until = 0.0

    @property
    def using(self) -> Link | None:
        """The link over which messages are passed on now."""
        return next((link for link in self.links if link.state == State.JOINED), None)

    @property
    def state(self) -> State:
        """How the chain is: joined if one link is, else a loop if there is one."""
        return min((link.state for link in self.links), key=[State.JOINED, State.LOOP, State.AWAY].index)

    @property
    def takes_passed(self) -> bool:
        """Whether what a chained relay passes on to us will come out, and not come back to that relay."""
        return self.using is not None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do as time passes."""
        waits = (self._keeper.waiting or self._unjournaled) and self.using and not self._on_its_way  # for retry_after
        return not (self._hold.on or waits or any(link.unsettled for link in self.links))

    @property
    def waking(self) -> set[zmq.Socket[bytes]]:
        """Sockets that wake the relay's loop."""
        return {socket for link in self.links for socket in link.waking(forwarding=not self._hold.on)}

    @property
    def finished(self) -> bool:
        """Whether a stop has nothing more to wait for."""
        echoed = self._echo is None or time.monotonic() > self._echo_until
        return self.using is None or (not self._keeper.waiting and not self._unjournaled and echoed)

    def introduce(self, subscription: bytes) -> bytes:
        """Answer a chained relay that asks who this is.

        Args:
            subscription: that it made at outbound.
        """
        using = self.using
        known = using.chain if using else [each for link in self.links for each in link.chain]
        # Round a loop every relay adds the others again.
        chain = list(dict.fromkeys([self._identity, *known]))
        return submit.relay(chain, using is not None, self._outbound.mirrored_by(subscription))

    def step(self, batch: Batch, journaled: bool) -> bool:
        """Pass on what is next in the journal's order, and forward what was heard.

        Args:
            batch: what this turn took in.
            journaled: whether it is in the journal.

        Returns:
            Whether there is more to do at once.
        """
        if not journaled and batch.entries:
            self._keep_unjournaled(batch.entries)
        for link in self.links:
            for answer in link.update():
                self._take_answer(link, answer, batch)
        more = self._forward()
        self._pass_on(batch)
        return more

    def note(self) -> None:
        """What has its receipt from upstream is noted already."""

    def close(self) -> None:
        """Close the links."""
        if self._unjournaled:
            log.error("%d messages could neither be journaled nor passed on: lost", len(self._unjournaled))
        for link in self.links:
            link.close()

    # Down the chain.

    def _forward(self) -> bool:
        """Publish what was heard; return whether there may be more."""
        if not self._hold.over:
            return False
        more = False
        for link in self.links:
            number = 0
            for number, message in enumerate(link.heard(FORWARD_MESSAGES), start=1):  # noqa: B007 -- counted for below
                self._outbound.publish(*message)
                if message == self._echo:
                    self._echo = None
            more = more or number == FORWARD_MESSAGES
        return more

    # Up the chain.

    def _pass_on(self, batch: Batch) -> None:
        """Submit the next batch, unless one is on its way."""
        if (sent := self._on_its_way) is not None:
            if sent.link.state == State.JOINED and time.monotonic() - sent.since < ANSWER_SECONDS:
                return
            if sent.link.state == State.JOINED:
                sent.link.reset("it gave no receipt")
            self._on_its_way = None
        link = self.using
        if link is None or time.monotonic() < self._not_before:
            return
        if not self._keeper.waiting:
            self._pass_unjournaled(link)
            return
        waiting = self._keeper.next_waiting(self._at_most)
        messages = _first_of(waiting.records)
        whole = len(messages) == len(waiting.records)
        upto = waiting.upto if whole else messages[-1].seq
        damaged = upto - self._keeper.handed - len(messages)
        if not messages:
            self._hand_over(upto, batch, 0, damaged)
        elif link.pass_on(_frames(messages)):
            self._on_its_way = _OnItsWay(link, messages, time.monotonic(), upto, damaged)

    def _take_answer(self, link: Link, answer: dict[str, Any], batch: Batch) -> None:
        sent = self._on_its_way
        if sent is None or sent.link is not link:
            return
        self._on_its_way = None
        status = answer.get("status")
        if status == "accepted":
            last = sent.messages[-1]
            if not answer.get("duplicates"):
                self._echo, self._echo_until = (last.topic, last.body), time.monotonic() + ECHO_SECONDS
            self._answered(sent, batch, len(sent.messages), sent.damaged)
        elif status == "refused" and len(sent.messages) > 1:
            self._one_by_one = len(sent.messages)  # one of them is at fault
        elif status == "refused":
            which = "that could not be journaled" if sent.upto is None else f"seq {sent.upto}"
            log.error("upstream refuses message %s: %s", which, answer.get("reason"))
            self._answered(sent, batch, 0, sent.damaged + 1)
        else:
            pause = answer.get("retry_after")
            # Whatever else it may answer: not at once again, and not never.
            wanted = pause if isinstance(pause, int | float) else 1.0
            self._not_before = time.monotonic() + min(wanted, ANSWER_SECONDS)

    def _answered(self, sent: _OnItsWay, batch: Batch, published: int, damaged: int) -> None:
        """Upstream has what was sent, or will not ever have it."""
        self._one_by_one = max(0, self._one_by_one - 1)
        if sent.upto is not None:
            self._hand_over(sent.upto, batch, published, damaged)
            return
        for _ in sent.messages:
            self._unjournaled.popleft()

    def _hand_over(self, upto: int, batch: Batch, published: int, damaged: int) -> None:
        batch.counts.published += published
        batch.counts.damaged += damaged
        self._keeper.handed = upto
        self._keeper.mark_published(upto)

    def _keep_unjournaled(self, entries: list[Entry]) -> None:
        room = UNJOURNALED_MESSAGES - len(self._unjournaled)
        self._unjournaled.extend(entries[:room])
        if len(entries) > room:
            log.error("%d messages could neither be journaled nor passed on, nor kept: lost", len(entries) - room)

    def _pass_unjournaled(self, link: Link) -> None:
        """Submit what could not be journaled; it is kept in memory until upstream has it."""
        messages = _first_of(islice(self._unjournaled, self._at_most))
        if messages and link.pass_on(_frames(messages)):
            self._on_its_way = _OnItsWay(link, messages, time.monotonic())

    @property
    def _at_most(self) -> int:
        """How many messages the next batch may have."""
        return 1 if self._one_by_one else submit.MAX_MESSAGES


def _first_of(messages: Iterable[_M]) -> list[_M]:
    """As many as make a batch; one at least, if there is one."""
    batch: list[_M] = []
    size = 0
    for message in messages:
        size += len(message.topic) + len(message.body)
        if batch and size > BATCH_BYTES:
            break
        batch.append(message)
    return batch


def _frames(messages: Iterable[Record] | Iterable[Entry]) -> list[bytes]:
    return [frame for message in messages for frame in (message.topic, message.body)]
