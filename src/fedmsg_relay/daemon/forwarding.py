"""The stage of a chained relay that takes the place of publishing: what the journal holds is submitted upstream.

What it publishes at its own outbound is what it hears at the upstream's, its own messages among it. So each message is
at every outbound along the chain exactly once, in one order. While upstream is away everything waits in the journal.

Invariants:

1. A message is handed over when upstream has given its receipt, so upstream has it on disk.
2. One batch, of what is journaled or of what could not be, is on its way at a time, always to a relay that is joined
   (:mod:`fedmsg_relay.chain.upstream`); without a receipt the same messages are submitted again, and upstream's dedup
   window knows them.
3. A message is noted as published when it has come out here as well. What upstream has and is not heard
   (:mod:`fedmsg_relay.chain.echo`) is published by ourselves. So where a link is cut or a relay is killed, own messages
   may come out here twice, but they do come out.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice

from fedmsg_relay import submit
from fedmsg_relay.chain import answers
from fedmsg_relay.chain.echo import Echo, Message, Passed
from fedmsg_relay.chain.upstream import Link, State
from fedmsg_relay.daemon.batch import Batch
from fedmsg_relay.daemon.publishing import Hold, Written
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.log import log

FORWARD_MESSAGES = 1000
"""Messages of each relay upstream that are forwarded in one turn."""

ECHO_SECONDS = 5.0
"""After which what a relay upstream has taken, and is not heard there, is published here.

It counts for each relay of the chain: one that was restarted may wait half as long for its listeners of before.
"""

LAST_ECHO_SECONDS = 1.0
"""The same at a stop."""

LONGEST_RETRY_SECONDS = 5.0
"""How long upstream may put us off at most."""


@dataclass
class _OnItsWay:
    """A batch that upstream has not yet answered."""

    link: Link
    batch: Passed
    upto: int | None = None
    """Its last seq; None of what could not be journaled."""
    damaged: int = 0


class Passing:
    """Passes on to the relay upstream what the journal holds, and publishes what is heard from there.

    Args:
        identity: of this relay.
        guard: of the journal.
        outbound: where to publish what is heard.
        hold: until when to wait with that.
        links: to the relays upstream; the first one that is joined gets everything, all of them are listened to.
    """

    def __init__(self, identity: str, guard: JournalGuard, outbound: Outbound, hold: Hold, links: list[Link]) -> None:
        self.links = links
        self._identity = identity
        self._guard = guard
        self._outbound = outbound
        self._hold = hold
        self._on_its_way: _OnItsWay | None = None
        self._one_by_one = 0
        self._not_before = 0.0
        self._unjournaled: deque[Entry] = deque()
        self._echo = Echo()
        self._written = Written(guard, outbound)

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
        waits = (self._guard.waiting or self._unjournaled) and self.using and not self._on_its_way  # for retry_after
        unwritten = self._written.pending
        return not (self._hold.on or waits or unwritten or any(link.unsettled for link in self.links))

    @property
    def waking(self) -> set[socket.socket]:
        """Sockets that wake the relay's loop."""
        return {found for link in self.links for found in link.waking(forwarding=not self._hold.on)}

    @property
    def finished(self) -> bool:
        """Whether a stop has nothing more to wait for."""
        heard = not self._echo.awaited or time.monotonic() - self._echo.stirred > LAST_ECHO_SECONDS
        return self.using is None or (not self._guard.waiting and not self._unjournaled and heard)

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
            if (answer := link.update()) is not None:
                self._take_answer(link, answer, batch)
        more = self._forward()
        self._pass_on(batch)
        return more

    def note(self) -> None:
        """Note in the journal what has come out, upstream and here, even if we are killed now."""
        self._written.note(self._echo.complete_up_to(self._guard.cursor.handed_over))

    def close(self) -> None:
        """Publish what upstream has and is not heard any more, and close the links."""
        if self.using is not None and self._hold.over:
            self._publish_missed()
        cursor = self._guard.cursor
        cursor.take_back(self._echo.complete_up_to(cursor.handed_over))
        if self._unjournaled:
            log.error("%d messages could neither be journaled nor passed on: lost", len(self._unjournaled))
        for link in self.links:
            link.close()

    # Down the chain.

    def _forward(self) -> bool:
        """Publish what was heard, and what should have been; return whether there may be more."""
        if not self._hold.over:
            self._echo.stir()
            return False
        more = False
        for link in self.links:
            number = 0
            for number, message in enumerate(link.heard(FORWARD_MESSAGES), start=1):  # noqa: B007 -- counted for below
                for missed in self._echo.hear(message):
                    self._outbound.publish(*missed)
                self._outbound.publish(*message)
            more = more or number == FORWARD_MESSAGES
        using = self.using
        if more or using is None:
            self._echo.stir()
        elif time.monotonic() - self._echo.stirred > ECHO_SECONDS * len(using.chain):
            self._publish_missed()
        return more

    def _publish_missed(self) -> None:
        number = 0
        for number, missed in enumerate(self._echo.missed(), start=1):  # noqa: B007 -- counted for below
            self._outbound.publish(*missed)
        if number:
            log.info("published %d messages that upstream has taken and that were not heard there", number)

    # Up the chain.

    def _pass_on(self, batch: Batch) -> None:
        """Submit the next batch, unless one is on its way."""
        if self._on_its_way is not None and not self._on_its_way.link.passing:
            self._on_its_way = None  # the link was reset
        link = self.using
        if self._on_its_way is not None or link is None or self._enough or time.monotonic() < self._not_before:
            return
        if not self._guard.waiting:
            self._pass_unjournaled(link)
            return
        waiting = self._guard.next_waiting(self._at_most, limits.PASSING_BYTES)
        messages = [(record.topic, record.body) for record in waiting.records]
        if messages:
            self._submit(link, messages, waiting.upto, waiting.damaged)
        else:
            self._hand_over(waiting.upto, batch, 0, waiting.damaged)

    def _submit(self, link: Link, messages: list[Message], upto: int | None = None, damaged: int = 0) -> None:
        if link.pass_on([frame for message in messages for frame in message]):
            passed = Passed(messages, self._guard.cursor.handed_over)
            self._echo.expect(passed)
            self._on_its_way = _OnItsWay(link, passed, upto, damaged)

    def _take_answer(self, link: Link, answer: answers.Receipt | answers.Refused | answers.Busy, batch: Batch) -> None:
        sent = self._on_its_way
        if sent is None or sent.link is not link:
            return
        self._on_its_way = None
        messages = len(sent.batch.messages)
        if isinstance(answer, answers.Busy):
            # Whatever it may answer: not never again.
            self._not_before = time.monotonic() + min(answer.retry_after, LONGEST_RETRY_SECONDS)
        elif isinstance(answer, answers.Receipt) and answer.fits(messages):
            self._echo.take_receipt(sent.batch)
            self._answered(sent, batch, messages, sent.damaged)
        elif isinstance(answer, answers.Receipt):
            link.reset("it gave the receipt of another batch")
        elif messages > 1:
            self._one_by_one = messages  # one of them is at fault
        else:
            which = "that could not be journaled" if sent.upto is None else f"seq {sent.upto}"
            log.error("upstream refuses message %s: %s", which, answer.reason)
            self._echo.give_up(sent.batch)
            self._answered(sent, batch, 0, sent.damaged + 1)

    def _answered(self, sent: _OnItsWay, batch: Batch, published: int, damaged: int) -> None:
        """Upstream has what was sent, or will not ever have it."""
        self._one_by_one = max(0, self._one_by_one - 1)
        if sent.upto is not None:
            self._hand_over(sent.upto, batch, published, damaged)
            return
        for _ in sent.batch.messages:
            self._unjournaled.popleft()

    def _hand_over(self, upto: int, batch: Batch, published: int, damaged: int) -> None:
        batch.counts.published += published
        batch.counts.damaged += damaged
        self._guard.cursor.hand_over(upto)

    def _keep_unjournaled(self, entries: list[Entry]) -> None:
        room = limits.UNJOURNALED_MESSAGES - len(self._unjournaled)
        self._unjournaled.extend(entries[:room])
        if len(entries) > room:
            log.error("%d messages could neither be journaled nor passed on, nor kept: lost", len(entries) - room)

    def _pass_unjournaled(self, link: Link) -> None:
        """Submit what could not be journaled; it is kept in memory until upstream has it."""
        messages: list[Message] = []
        size = 0
        for topic, body, _ in islice(self._unjournaled, self._at_most):
            size += len(topic) + len(body)
            if messages and size > limits.PASSING_BYTES:
                break
            messages.append((topic, body))
        if messages:
            self._submit(link, messages)

    @property
    def _enough(self) -> bool:
        """Whether so much is under way that a kill may bring out twice that it must not become more."""
        return self._echo.full or self._guard.cursor.handed_over - self._written.upto >= limits.ECHO_MESSAGES

    @property
    def _at_most(self) -> int:
        """How many messages the next batch may have."""
        return 1 if self._one_by_one else limits.PASSING_MESSAGES
