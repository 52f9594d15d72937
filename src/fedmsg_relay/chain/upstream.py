"""The link to a relay upstream: its two connections, to submit and outbound, and the state that they are in.

A link is *joined* when three things are known of the relay at its other end: its own chain ends at a relay that
publishes by itself, that chain does not lead back here, and the relay has our subscription to its outbound. Until then
nothing is submitted to it and nothing that it publishes is published here. So each message comes out exactly once at
every outbound along the chain.

Any fault of a link, or of the bytes that come over it, ends both its connections. It is logged in one line, and the
link connects anew after a pause.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum

from fedmsg_relay.chain.mirror import Mirror
from fedmsg_relay.chain.outgoing import Kind, Outgoing
from fedmsg_relay.network import handshake
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.drops import Allowance
from fedmsg_relay.runtime.log import log
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

INQUIRE_SECONDS = 1.0
"""Time between two inquiries which relay the upstream is. The answer may change when its own upstream does."""

UNHEARD_SECONDS = 0.05
"""The same, while it does not have our subscription yet."""

ANSWER_SECONDS = 5.0
"""Time after which the link to a relay that does not answer connects anew."""

HEAR_SECONDS = 3.0
"""The same, for a relay that does not take our subscription."""

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 0.5
STEADY_SECONDS = 2.0
"""Pause before a link connects anew: longer each time, until the link was joined for ``STEADY_SECONDS``."""

ANSWERS_AT_ONCE = 100
"""Answers looked at in one turn. No more than two can be due; more end the link."""

_SUBMIT = Kind(handshake.DEALER, max_bytes=limits.ANSWER_BYTES, hold_bytes=limits.ANSWER_BYTES)

Answer = Accepted | Refused | Busy
"""The answer to a batch."""


class State(StrEnum):
    """State of a link."""

    JOINED = "joined"
    AWAY = "away"
    LOOP = "loop"


class _BrokenError(Exception):
    """A fault that ends the link."""


class Link:
    """The connections to one relay upstream.

    Args:
        identity: of this relay.
        submit_address: of the relay's submit.
        outbound_address: of the same relay's outbound.
        max_bytes: maximum size of a message that it publishes; a larger one is not published here.

    Attributes:
        state: of the link.
        why: the reason for the state, for a person.
        chain: identities of that relay, its upstream, and so on, as far as it has told.
        awaits_receipt: whether a batch was submitted and not answered yet.
    """

    def __init__(self, identity: str, submit_address: str, outbound_address: str, max_bytes: int) -> None:
        self.submit_address = submit_address
        self.outbound_address = outbound_address
        self.state = State.AWAY
        self.why = ""
        self.chain: list[str] = []
        self._identity = identity
        self._max_bytes = max_bytes
        self._submit: Outgoing | None = None
        self._mirror: Mirror | None = None
        self._leftover: Mirror | None = None
        self._pause = SHORTEST_PAUSE_SECONDS
        self._next_try = 0.0
        self._asked = False
        self._sent = self._next_inquiry = self._joined_since = 0.0
        self.awaits_receipt = False
        self._told: tuple[State, str] | None = None
        self._allowance = Allowance()

    def waking(self, forwarding: bool) -> list[socket.socket]:
        """Get the sockets that wake the relay's loop.

        Args:
            forwarding: whether messages that the relay publishes are wanted now.
        """
        wanted = self._connections[: None if forwarding else 1]
        return [found for each in wanted if (found := each.waking) is not None]

    @property
    def _connections(self) -> list[Outgoing]:
        mirror = self._mirror.connection if self._mirror is not None else None
        return [each for each in (self._submit, mirror) if each is not None]

    @property
    def unsettled(self) -> bool:
        """Whether it has to be updated soon, also when nothing has come."""
        if self._leftover is not None:
            return True
        if self._submit is None:
            return self._pause < LONGEST_PAUSE_SECONDS
        joining = self._submit.up and self.state == State.AWAY
        return joining or any(each.unsettled for each in self._connections)

    def update(self) -> Answer | None:
        """Go on with both connections, without waiting.

        Returns:
            The answer to the batch that was submitted, if it has come.
        """
        self._tell()
        now = time.monotonic()
        if self._submit is None:
            if now < self._next_try:
                return None
            self._submit = Outgoing(self.submit_address, _SUBMIT)
        try:
            return self._go_on(self._submit, now)
        except (_BrokenError, OSError) as broken:
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
        self._send(self._submit, write_request(messages, passed_on=True))
        self.awaits_receipt = True
        return True

    def heard(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Take messages that the relay has published and that may be published here.

        Args:
            limit: maximum number of messages.

        Yields:
            Topic and body.
        """
        if self._leftover is not None:
            self._leftover.update()
            yield from self._leftover.take(limit)
            if self._leftover.over:
                self._leftover.connection.close()
                self._leftover = None
        elif self.state == State.JOINED and self._mirror is not None:
            yield from self._mirror.take(limit)

    def reset(self, why: str) -> None:
        """Forget what is known of the relay, and connect anew.

        Args:
            why: the reason, for the log.
        """
        now = time.monotonic()
        if self.state == State.JOINED and now - self._joined_since > STEADY_SECONDS:
            self._pause = SHORTEST_PAUSE_SECONDS
        self._become(State.AWAY, why)
        self._unsubscribe()
        if self._submit is not None:
            self._submit.close()
            self._submit = None
        self.chain = []
        self._asked = self.awaits_receipt = False
        self._next_inquiry = 0.0
        self._next_try = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        for each in self._connections:
            each.close()
        if self._leftover is not None:
            self._leftover.connection.close()

    def _go_on(self, connection: Outgoing, now: float) -> Answer | None:
        connection.update()
        if self._mirror is not None:
            self._mirror.update()
        answered = [found for frames in connection.take(ANSWERS_AT_ONCE) if (found := self._judge(frames))]
        if answered:  # before any fault: an answer that came before the connection ended is valid
            self._inquire(connection, now)  # before the next batch: under load it would otherwise never be asked
            return answered[0]
        if connection.fault:
            raise _BrokenError(connection.fault)
        if self._mirror is not None and self._mirror.connection.fault:
            raise _BrokenError(f"outbound {self.outbound_address}: {self._mirror.connection.fault}")
        if connection.oversized:
            raise _BrokenError("its answer is too large")
        if (self._asked or self.awaits_receipt) and now - self._sent > 1 and connection.stands(ANSWER_SECONDS):
            raise _BrokenError("it does not answer")
        if not connection.up:
            self._wait_for(connection)
        elif self._mirror is None:
            self._mirror = Mirror(self.outbound_address, self._max_bytes)
        self._inquire(connection, now)
        return None

    def _inquire(self, connection: Outgoing, now: float) -> None:
        if self._mirror is not None and connection.up and not self._asked and now >= self._next_inquiry:
            self._send(connection, write_inquiry(self._mirror.token))
            self._asked = True

    def _wait_for(self, connection: Outgoing) -> None:
        if why := connection.waits_for:
            self._become(State.AWAY, why)

    def _send(self, connection: Outgoing, frames: Sequence[bytes]) -> None:
        connection.send(frames)
        self._sent = time.monotonic()

    def _unsubscribe(self) -> None:
        """End the subscription. Messages that came while the link was joined are still taken in."""
        mirror, self._mirror = self._mirror, None
        if mirror is not None and mirror.forwarded:
            mirror.leave()
            self._leftover = mirror  # there is no older one: with one, the link would not have been joined
        elif mirror is not None:
            mirror.connection.close()

    # Answers.

    def _judge(self, frames: list[bytes]) -> Answer | None:
        """Take in an answer; return it if it answers the batch that was submitted."""
        answer = read_reply(frames)
        if answer is None:
            raise _BrokenError("it sent bytes that are not an answer of a relay's submit")
        if isinstance(answer, Introduction):
            if not self._asked:
                raise _BrokenError("it told which relay it is without being asked")
            self._learn(answer)
            return None
        if isinstance(answer, Refused) and answer.code == Distrust.SOURCE_NOT_ALLOWED:  # no message is at fault
            raise _BrokenError(f"it takes nothing from this host: {answer.code}")
        if self._asked and isinstance(answer, Refused) and answer.code == Refusal.BAD_VERSION:
            self._become(State.AWAY, "it is too old a relay to be chained to")
            self._asked, self._next_inquiry = False, time.monotonic() + ANSWER_SECONDS
            return None
        if not self.awaits_receipt:
            raise _BrokenError("it sent an answer without having been asked")
        self.awaits_receipt = False
        return answer

    def _learn(self, relay: Introduction) -> None:
        """Take in which relay it is, and whether it has our subscription."""
        now = time.monotonic()
        mirror = self._mirror.connection if self._mirror is not None else None
        self._asked, self._next_inquiry, self.chain = False, now + INQUIRE_SECONDS, relay.chain
        chain = " -> ".join(relay.chain)
        if self._identity in relay.chain:
            self._become(State.LOOP, f"its chain leads back here ({chain}): nothing is forwarded")
        elif relay.complete and relay.heard and self._leftover is None:
            if self.state != State.JOINED:
                self._joined_since = now
            if self._mirror is not None:
                self._mirror.forwarded = True
            self._become(State.JOINED, f"chain {chain}")
        elif not relay.complete:
            self._become(State.AWAY, "its own upstream is away")
            self._next_inquiry = now + UNHEARD_SECONDS
        elif mirror is not None and not mirror.up:
            self._wait_for(mirror)
            self._next_inquiry = now + UNHEARD_SECONDS
        elif self.state == State.JOINED or (mirror is not None and now - mirror.up_since > HEAR_SECONDS):
            raise _BrokenError(f"it does not have our subscription to {self.outbound_address}")
        else:
            self._next_inquiry = now + UNHEARD_SECONDS

    def _become(self, state: State, why: str) -> None:
        self.state, self.why = state, why
        self._tell()

    def _tell(self) -> None:
        """Log the state of the link when it has changed; a state that changes too often is logged later."""
        if not self.why or self._told == (self.state, self.why) or not self._allowance.take():
            return
        self._told = self.state, self.why
        level = {State.JOINED: log.info, State.AWAY: log.warning, State.LOOP: log.error}[self.state]
        level("upstream %s %s: %s", self.submit_address, self.state, self.why)
