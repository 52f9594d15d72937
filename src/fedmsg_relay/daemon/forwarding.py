"""The forwarding stage of a chained relay, in the place of publishing: messages of the journal go to the upstream.

At its own outbound a chained relay publishes what it hears at the upstream's outbound (:mod:`.republishing`), its own
messages among it. So each message is at every outbound along the chain exactly once, in one order. While the upstream
is away, messages wait in the journal.

Invariants:

1. A message is sent when the upstream has given its receipt, so the upstream has it on disk.
2. One batch is in flight at a time, always to a relay that is joined (:mod:`fedmsg_relay.chain.link`). Without a
   receipt the same messages are submitted again, and the upstream's dedup window knows them.
3. The upstream judges each message by itself. A refused message is counted and logged, and is in the journal only.
4. A message is noted as published when it has come out here as well. A message that the upstream has and that is not
   heard (:mod:`fedmsg_relay.chain.echo`) is published here. So where a link is cut or a relay is killed, own messages
   may come out here twice, but they do come out.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fedmsg_relay import submit
from fedmsg_relay.chain.echo import Echo, ForwardedBatch
from fedmsg_relay.chain.inquirers import Inquirers
from fedmsg_relay.chain.link import Answer, Link
from fedmsg_relay.chain.links import Links
from fedmsg_relay.daemon.listener_wait import ListenerWait
from fedmsg_relay.daemon.publishing import PublishedMark
from fedmsg_relay.daemon.republishing import Republishing
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.daemon.unjournaled import Unjournaled
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry, Record
from fedmsg_relay.network.outbound import Outbound
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.runtime.log import log

LAST_ECHO_SECONDS = 1.0
"""Time for which a stop waits to hear a message that the upstream has taken."""

LONGEST_RETRY_SECONDS = 5.0
"""Maximum time for which the upstream may put this relay off."""


@dataclass
class _InFlight:
    """A batch that the upstream has not answered yet."""

    link: Link
    batch: ForwardedBatch
    upto: int | None = None
    """``seq`` of its last message; None where its messages could not be journaled."""
    damaged: int = 0


class ForwardingStage:
    """Submits to the upstream what the journal holds, and publishes what is heard from there.

    Args:
        identity: of this relay.
        guard: of the journal.
        outbound: where to publish what is heard.
        wait: delays publishing after a start.
        links: to the relays upstream.

    Attributes:
        links: the same.
    """

    def __init__(
        self, identity: str, guard: JournalGuard, outbound: Outbound, wait: ListenerWait, links: Links
    ) -> None:
        self.links = links
        self._identity = identity
        self._guard = guard
        self._outbound = outbound
        self._wait = wait
        self._in_flight: _InFlight | None = None
        self._batch_messages = limits.FORWARD_MESSAGES
        self._refused = DropLog("upstream refused %d %s: %s (last: %s)")
        self._not_before = 0.0
        self._unjournaled = Unjournaled()
        self._echo = Echo()
        self._inquirers = Inquirers()
        self._republishing = Republishing(outbound, links, self._echo)
        self._mark = PublishedMark(guard)

    @property
    def leads_back(self) -> bool:
        """Whether nothing comes out before this relay publishes by itself: the relay upstream is chained to it.

        It is so only once that relay hears everything that would be published here.
        """
        return self.links.leads_back and self._inquirers.all_hear

    @property
    def takes_forwarded(self) -> bool:
        """Whether messages that a chained relay forwards to us come out, and do not come back to that relay."""
        return self.links.using is not None

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        waits = self._guard.waiting or self._unjournaled
        put_off = waits and self.links.using and not self._in_flight  # for retry_after
        return not (self._wait.on or put_off or self._mark.pending) and self.links.idle

    @property
    def wakeup_sockets(self) -> set[socket.socket]:
        """Sockets that wake the relay's loop."""
        return self.links.wakeup_sockets(forwarding=not self._wait.on)

    @property
    def ready_to_stop(self) -> bool:
        """Whether a stop has nothing more to wait for."""
        heard = not self._echo.awaited or self._echo.waited_seconds > LAST_ECHO_SECONDS
        return self.links.using is None or (not self._guard.waiting and not self._unjournaled and heard)

    def introduce(self, subscription: bytes) -> bytes:
        """Make the answer to a chained relay that asks which relay this is.

        Args:
            subscription: the topic that the chained relay has subscribed to at outbound.
        """
        # In a loop every relay adds the others again.
        chain = list(dict.fromkeys([self._identity, *self.links.chain]))
        heard = self._outbound.mirrored_by(subscription)
        self._inquirers.note(subscription, heard)
        return submit.Introduction(chain, self.links.using is not None, heard).encode()

    def send(self, turn: Turn) -> bool:
        """Publish what was heard, and submit the next messages in the journal's order.

        Args:
            turn: the current turn.

        Returns:
            Whether there is more to do at once.
        """
        for link in self.links:
            if (answer := link.update()) is not None:
                self._take_answer(link, answer, turn)
        more = False
        if self._wait.over:
            more = self._republishing.publish_heard()
        else:
            self._echo.restart_wait()
        self._submit_next(turn)
        self._refused.report()
        return more

    def send_unjournaled(self, turn: Turn) -> bool:
        """Do the same for a turn that could not be journaled; its entries are kept in memory until they are submitted.

        Args:
            turn: the current turn; it has entries.

        Returns:
            Whether there is more to do at once.
        """
        self._unjournaled.keep(turn.entries, self._guard.last)
        return self.send(turn)

    def note_published(self) -> None:
        """Note in the journal which messages have come out, upstream and here, if it is time for that."""
        self._mark.look(self._echo.complete_up_to(self._guard.cursor.sent))

    def end(self, turn: Turn) -> list[Entry]:
        """Close the links. What has not come out here waits in the journal again.

        Args:
            turn: the current turn.

        Returns:
            Messages that are in memory only.
        """
        unjournaled, sent = self._unjournaled.take_all(), self._guard.cursor.sent
        self.close()
        turn.counts.published -= sent - self._guard.cursor.sent
        return unjournaled

    def close(self) -> None:
        """Publish what the upstream has and is not heard any more, and close the links."""
        if self.links.using is not None and self._wait.over:
            self._republishing.publish_missed()
        cursor = self._guard.cursor
        cursor.note_unsent(self._echo.complete_up_to(cursor.sent))
        self._refused.report(everything=True)
        if self._unjournaled:
            log.error("lost %d messages: they could neither be journaled nor forwarded", len(self._unjournaled))
        self.links.close()

    # From the journal to the upstream.

    def _submit_next(self, turn: Turn) -> None:
        """Submit the next batch, unless one is in flight."""
        if self._in_flight is not None and not self._in_flight.link.awaits_receipt:
            self._in_flight = None  # the link was reset
        link = self.links.using
        if self._in_flight is not None or link is None or self._full or time.monotonic() < self._not_before:
            return
        if not self._submit_journaled(link, turn) and self._unjournaled:
            self._submit(link, self._unjournaled.next(self._guard.cursor.sent, self._batch_messages))

    def _submit_journaled(self, link: Link, turn: Turn) -> bool:
        """Submit the next messages of the journal, up to where one could not be journaled; tell if there are any."""
        limit = self._batch_messages
        if self._unjournaled:
            limit = min(limit, self._unjournaled.after - self._guard.cursor.sent)
        if limit <= 0:
            return False
        waiting = self._guard.next_waiting(limit, limits.FORWARD_BYTES)
        if waiting.records:
            self._submit(link, waiting.records, waiting.upto, waiting.damaged)
        elif waiting.damaged:
            self._count(waiting.upto, turn, 0, waiting.damaged)
        return bool(waiting.records or waiting.damaged)

    def _submit(self, link: Link, found: Sequence[Record | Entry], upto: int | None = None, damaged: int = 0) -> None:
        messages = [(each.topic, each.body) for each in found]
        if link.submit(messages):
            named = {(each.topic, each.body) for each in found if each.msg_id is not None}
            batch = ForwardedBatch(messages, named, self._guard.cursor.sent)
            self._echo.expect(batch)
            self._in_flight = _InFlight(link, batch, upto, damaged)

    def _take_answer(self, link: Link, answer: Answer, turn: Turn) -> None:
        sent = self._in_flight
        if sent is None or sent.link is not link:
            return
        self._in_flight = None
        messages = len(sent.batch.messages)
        if isinstance(answer, submit.Busy):
            # Bounded: an upstream may answer any number.
            self._not_before = time.monotonic() + min(answer.retry_after, LONGEST_RETRY_SECONDS)
        elif isinstance(answer, submit.Accepted) and answer.fits(messages):
            self._echo.take_receipt(sent.batch)
            self._finish(sent, turn, messages)
        elif isinstance(answer, submit.Accepted):
            link.reset("it gave the receipt of another batch")
        elif messages > 1:
            self._batch_messages = messages // 2  # until the message at fault is alone
        else:
            self._refused.note(answer.code, "no seq" if sent.upto is None else f"seq {sent.upto}")
            self._echo.give_up(sent.batch)
            self._finish(sent, turn)

    def _finish(self, sent: _InFlight, turn: Turn, published: int = 0) -> None:
        """End with a batch that the upstream has, or will never have."""
        self._batch_messages = min(2 * self._batch_messages, limits.FORWARD_MESSAGES)
        if sent.upto is not None:
            turn.counts.refused_upstream += len(sent.batch.messages) - published
            self._count(sent.upto, turn, published, sent.damaged)
            return
        self._unjournaled.drop(len(sent.batch.messages))

    def _count(self, upto: int, turn: Turn, published: int, damaged: int) -> None:
        turn.counts.published += published
        turn.counts.damaged += damaged
        self._guard.cursor.note_sent(upto)

    @property
    def _full(self) -> bool:
        """Whether a kill could bring out so many messages twice that no more may be submitted."""
        return self._echo.full or self._guard.cursor.sent - self._mark.seen >= limits.ECHO_MESSAGES
