"""The link to a relay upstream: its two connections, to submit and outbound, and the state that they are in.

Until a link is *joined* (:mod:`.joining`), nothing is submitted to the relay at its other end, and nothing that it
publishes is published here. So each message comes out exactly once at every outbound along the chain.

If the relay upstream is chained to this one, nothing comes out at either. Then one of the two publishes by itself: the
relay that was joined to the other before, as the other was chained later. If neither was, as after a restart of both
hosts, it is the relay with the lower identity, after some time (:attr:`Link.leads_back`).

Any fault of a link, or of the bytes that come over it, ends its connection to submit, and the one to outbound unless
that is sound and messages from there were published here. It is logged in one line, and the link connects anew after a
pause.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence

from fedmsg_relay.chain.joining import BrokenError, decide
from fedmsg_relay.chain.outgoing import Kind, Outgoing
from fedmsg_relay.chain.pause import Pause
from fedmsg_relay.chain.state import LinkState, State
from fedmsg_relay.chain.subscription import Subscription
from fedmsg_relay.network import handshake
from fedmsg_relay.runtime import limits
from fedmsg_relay.submit import (
    Accepted,
    Busy,
    Introduction,
    Refusal,
    Refused,
    read_reply,
    write_inquiry,
    write_request,
)
from fedmsg_relay.trust.reasons import Reason as Distrust

ANSWER_SECONDS = 5.0
"""Time after which the link to a relay that does not answer connects anew."""

STEADY_SECONDS = 2.0
"""Time for which a link has to be joined before its pauses are short again."""

LOOP_SECONDS = 10.0
"""Time after which one of two relays that are chained to each other publishes, where neither was joined before."""

ANSWERS_AT_ONCE = 100
"""Answers looked at in one turn. No more than two can be due; more end the link."""

_SUBMIT = Kind(handshake.DEALER, max_bytes=limits.ANSWER_BYTES, hold_bytes=limits.ANSWER_BYTES)

Answer = Accepted | Refused | Busy
"""The answer to a batch."""


class Link:
    """The connections to one relay upstream.

    Args:
        identity: of this relay.
        submit_address: of the relay's submit.
        outbound_address: of the same relay's outbound.
        max_bytes: maximum size of a message that it publishes; a larger one is not published here.

    Attributes:
        chain: identities of that relay, its upstream, and so on, as far as it has told.
        awaits_receipt: whether a batch was submitted and not answered yet.
    """

    def __init__(self, identity: str, submit_address: str, outbound_address: str, max_bytes: int) -> None:
        self.submit_address = submit_address
        self.outbound_address = outbound_address
        self.chain: list[str] = []
        self._identity = identity
        self._submit: Outgoing | None = None
        self._subscription = Subscription(outbound_address, max_bytes)
        self._state = LinkState(submit_address)
        self._pause = Pause()
        self._asked = False
        self._sent = self._next_inquiry = 0.0
        self._was_joined = False
        self.awaits_receipt = False

    @property
    def state(self) -> State:
        """State of the link."""
        return self._state.name

    @property
    def why(self) -> str:
        """The reason for the state, for a person."""
        return self._state.why

    @property
    def leads_back(self) -> bool:
        """Whether the relay is chained to this one directly, and this is the one of the two that is to publish."""
        if self.state != State.LOOP or self.chain[1:2] != [self._identity]:
            return False
        lasts = time.monotonic() - self._state.since > LOOP_SECONDS
        return self._was_joined or (lasts and self._identity < self.chain[0])

    def limit(self, max_bytes: int) -> None:
        """Change the maximum size of a message that the relay publishes.

        Args:
            max_bytes: the new one.
        """
        self._subscription.limit(max_bytes)

    def wakeup_sockets(self, forwarding: bool) -> list[socket.socket]:
        """Get the sockets that wake the relay's loop.

        Args:
            forwarding: whether messages that the relay publishes are wanted now.
        """
        wanted = self._connections if forwarding else [self._submit]
        return [found for each in wanted if each is not None and (found := each.wakeup_socket) is not None]

    @property
    def _connections(self) -> list[Outgoing]:
        return [each for each in (self._submit, self._subscription.connection) if each is not None]

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        if self._subscription.leftover is not None:
            return False
        if self._submit is None:
            return self._pause.is_longest
        joining = self._submit.up and self.state == State.AWAY
        return not joining and all(each.idle for each in self._connections)

    def update(self) -> Answer | None:
        """Go on with both connections, without waiting.

        Returns:
            The answer to the batch that was submitted, if it has come.
        """
        self._state.tell()
        if self._submit is None:
            self._subscription.update()
            self._subscription.keep_or_end()
            if not self._pause.is_over:
                return None
            self._submit = Outgoing(self.submit_address, _SUBMIT)
        try:
            return self._go_on(self._submit, time.monotonic())
        except (BrokenError, OSError) as broken:
            self.reset(str(broken))
            return None

    def submit(self, messages: Sequence[tuple[bytes, bytes]]) -> bool:
        """Submit a batch. Another one can be submitted only when this one is answered.

        Args:
            messages: topic and body of each.

        Returns:
            Whether it was submitted.
        """
        if self._submit is None or not self._submit.up or self.awaits_receipt:
            return False
        self._send(self._submit, write_request(messages, forwarded=True))
        self.awaits_receipt = True
        return True

    def heard(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Take messages that the relay has published and that may be published here.

        Args:
            limit: maximum number of messages.

        Yields:
            Topic and body.
        """
        yield from self._subscription.take(limit, self.state == State.JOINED)

    def reset(self, why: str) -> None:
        """Forget what is known of the relay, and connect to its submit anew.

        Args:
            why: the reason, for the log.
        """
        if self.state == State.JOINED:
            self._subscription.linger()
            if time.monotonic() - self._state.since > STEADY_SECONDS:
                self._pause.shorten()
        self._state.become(State.AWAY, why)
        self._subscription.keep_or_end()
        if self._submit is not None:
            self._submit.close()
            self._submit = None
        self.chain = []
        self._asked = self.awaits_receipt = False
        self._next_inquiry = 0.0
        self._pause.begin()

    def close(self) -> None:
        """Close the connections."""
        if self._submit is not None:
            self._submit.close()
        self._subscription.close()

    def _go_on(self, connection: Outgoing, now: float) -> Answer | None:
        connection.update()
        self._subscription.update()
        answered = [found for frames in connection.take(ANSWERS_AT_ONCE) if (found := self._judge(frames))]
        if answered:  # before any fault: an answer that came before the connection ended is valid
            self._inquire(connection, now)  # before the next batch: under load it would otherwise never be asked
            return answered[0]
        if connection.fault:
            raise BrokenError(connection.fault)
        outbound = self._subscription.connection
        if outbound is not None and outbound.fault:
            raise BrokenError(f"outbound {self.outbound_address}: {outbound.fault}")
        if connection.oversized:
            raise BrokenError("its answer is too large")
        if (self._asked or self.awaits_receipt) and now - self._sent > 1 and connection.stands(ANSWER_SECONDS):
            raise BrokenError("it does not answer")
        if connection.up:
            self._subscription.begin()
        elif why := connection.waits_for:
            self._state.become(State.AWAY, why)
        self._inquire(connection, now)
        return None

    def _inquire(self, connection: Outgoing, now: float) -> None:
        mirror = self._subscription.mirror
        if mirror is not None and connection.up and not self._asked and now >= self._next_inquiry:
            self._send(connection, write_inquiry(mirror.token))
            self._asked = True

    def _send(self, connection: Outgoing, frames: Sequence[bytes]) -> None:
        connection.send(frames)
        self._sent = time.monotonic()

    # Answers.

    def _judge(self, frames: list[bytes]) -> Answer | None:
        """Take in an answer; return it if it answers the batch that was submitted."""
        answer = read_reply(frames)
        if answer is None:
            raise BrokenError("it sent bytes that are not an answer of a relay's submit")
        if isinstance(answer, Introduction):
            if not self._asked:
                raise BrokenError("it sent an introduction that was not asked for")
            self._learn(answer)
            return None
        if isinstance(answer, Refused) and answer.code == Distrust.SOURCE_NOT_ALLOWED:  # no message is at fault
            raise BrokenError(f"it takes nothing from this host: {answer.code}")
        if self._asked and isinstance(answer, Refused) and answer.code == Refusal.BAD_VERSION:
            self._state.become(State.AWAY, "its version is too old to be chained to")
            self._asked, self._next_inquiry = False, time.monotonic() + ANSWER_SECONDS
            return None
        if not self.awaits_receipt:
            raise BrokenError("it sent an answer to no request")
        self.awaits_receipt = False
        return answer

    def _learn(self, relay: Introduction) -> None:
        """Take in which relay it is, and whether it has our subscription."""
        self._asked, self.chain = False, relay.chain
        try:
            decision = decide(relay, self._identity, self._subscription, self.state)
        except BrokenError:  # the subscription is at another relay, if it is anywhere
            self._subscription.end()
            raise
        self._next_inquiry = time.monotonic() + decision.pause
        if decision.state is not None:
            self._state.become(decision.state, decision.why)
        if decision.state == State.JOINED:
            self._was_joined = True
            if self._subscription.mirror is not None:
                self._subscription.mirror.forwarded = True
