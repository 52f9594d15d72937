"""A relay that this one is chained to: where it stands, and what is heard on its outbound.

A link is *joined* when three things are known of the relay at its other end: its own chain ends at a relay that
publishes by itself, it does not lead back to us, and our subscription to its outbound is in force. Until then nothing
is passed on and nothing that it publishes is forwarded, so that each message comes out exactly once at every outbound
along the chain.

Whatever is wrong with a link or with what comes over it ends both its connections, is told in one line, and is tried
anew after a pause.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum

from fedmsg_relay import submit
from fedmsg_relay.chain import answers
from fedmsg_relay.chain.mirror import Mirror
from fedmsg_relay.chain.outgoing import Kind, Outgoing
from fedmsg_relay.network import zmtp
from fedmsg_relay.runtime import limits
from fedmsg_relay.runtime.drops import Allowance
from fedmsg_relay.runtime.log import log

INQUIRE_SECONDS = 1.0
"""How often a relay upstream is asked who it is; what it answers may change when its own upstream does."""

UNHEARD_SECONDS = 0.05
"""The same, while our subscription to its outbound is on its way."""

ANSWER_SECONDS = 5.0
"""After which a relay that does not answer is connected to anew."""

HEAR_SECONDS = 3.0
"""The same, where it does not take our subscription."""

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 0.5
STEADY_SECONDS = 2.0
"""Before it is connected to anew: longer each time, until it has been joined for so long."""

ANSWERS_AT_ONCE = 100
"""Answers looked at in one turn; there are two at most, and more end the link."""

_SUBMIT = Kind(zmtp.DEALER, max_bytes=limits.ANSWER_BYTES, hold_bytes=limits.ANSWER_BYTES)

_Answered = answers.Receipt | answers.Refused | answers.Busy


class State(StrEnum):
    """How a link is."""

    JOINED = "joined"
    AWAY = "away"
    LOOP = "loop"


class _BrokenError(Exception):
    """The link can not go on."""


class Link:
    """The connections to one relay upstream.

    Args:
        identity: of this relay.
        submit_address: of the relay's submit.
        outbound_address: of the same relay's outbound.
        max_bytes: of a message that it publishes; a larger one is not forwarded.

    Attributes:
        state: how it is.
        why: what it was found by to be so.
        chain: identities of the relays from there on, as far as it has told.
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
        """Get the sockets on which something may come.

        Args:
            forwarding: whether what the relay publishes is wanted now.
        """
        wanted = self._connections[: None if forwarding else 1]
        return [found for each in wanted if (found := each.waking) is not None]

    @property
    def _connections(self) -> list[Outgoing]:
        mirror = self._mirror.connection if self._mirror is not None else None
        return [each for each in (self._submit, mirror) if each is not None]

    @property
    def unsettled(self) -> bool:
        """Whether it has to be looked after soon, without anything having come."""
        if self._leftover is not None:
            return True
        if self._submit is None:
            return self._pause < LONGEST_PAUSE_SECONDS
        joining = self._submit.up and self.state == State.AWAY
        return joining or any(each.unsettled for each in self._connections)

    def update(self) -> _Answered | None:
        """See to the connections; never waits.

        Returns:
            The answer to the batch that is on its way, if it has come.
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

    def submit(self, frames: Sequence[bytes]) -> bool:
        """Send a batch; another one only when this one is answered.

        Args:
            frames: topic and body of each message.

        Returns:
            Whether it is on its way.
        """
        if self._submit is None or not self._submit.up or self.awaits_receipt:
            return False
        self._send(self._submit, [submit.PASSING, *frames])
        self.awaits_receipt = True
        return True

    def heard(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Take in what the relay published, when it may be forwarded.

        Args:
            limit: messages at most.

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
        """Connect anew: what is known of the relay does not hold any more.

        Args:
            why: for the log.
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

    def _go_on(self, connection: Outgoing, now: float) -> _Answered | None:
        connection.update()
        if self._mirror is not None:
            self._mirror.update()
        answered = [found for frames in connection.take(ANSWERS_AT_ONCE) if (found := self._judge(frames))]
        if answered:  # what it said before it left counts
            self._inquire(connection, now)  # before the next batch, or under load it would never be asked
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
            self._send(connection, [submit.INQUIRY, self._mirror.token])
            self._asked = True

    def _wait_for(self, connection: Outgoing) -> None:
        if why := connection.waits_for:
            self._become(State.AWAY, why)

    def _send(self, connection: Outgoing, frames: Sequence[bytes]) -> None:
        connection.send([b"", *frames])
        self._sent = time.monotonic()

    def _unsubscribe(self) -> None:
        """End the subscription; what came over it while the relay was joined is still taken in."""
        mirror, self._mirror = self._mirror, None
        if mirror is not None and mirror.forwarded:
            mirror.leave()
            self._leftover = mirror  # there is no older one: with that the relay would not have been joined
        elif mirror is not None:
            mirror.connection.close()

    # What it answers.

    def _judge(self, frames: list[bytes]) -> _Answered | None:
        """Take in an answer; return it if it is that of the batch on its way."""
        answer = answers.read(frames[2]) if len(frames) == 3 and frames[:2] == [b"", submit.VERSION] else None
        if answer is None:
            raise _BrokenError("what it answers is no answer of a relay's submit")
        if isinstance(answer, answers.Introduction):
            if not self._asked:
                raise _BrokenError("it says who it is without being asked")
            self._learn(answer)
            return None
        if self._asked and isinstance(answer, answers.Refused) and answer.reason == submit.Refusal.BAD_VERSION:
            self._become(State.AWAY, "it is a relay that can not be chained to: too old")
            self._asked, self._next_inquiry = False, time.monotonic() + ANSWER_SECONDS
            return None
        if not self.awaits_receipt:
            raise _BrokenError("it answers what it was not asked")
        self.awaits_receipt = False
        return answer

    def _learn(self, relay: answers.Introduction) -> None:
        """Take in who the relay is, and whether our subscription to its outbound is in force."""
        now = time.monotonic()
        mirror = self._mirror.connection if self._mirror is not None else None
        self._asked, self._next_inquiry, self.chain = False, now + INQUIRE_SECONDS, relay.chain
        chain = " -> ".join(relay.chain)
        if self._identity in relay.chain:
            self._become(State.LOOP, f"its chain leads back here ({chain}): nothing is passed on")
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
        """Say in the log how the link is, where that has changed; what changes too often is told later."""
        if not self.why or self._told == (self.state, self.why) or not self._allowance.take():
            return
        self._told = self.state, self.why
        level = {State.JOINED: log.info, State.AWAY: log.warning, State.LOOP: log.error}[self.state]
        level("upstream %s %s: %s", self.submit_address, self.state, self.why)
