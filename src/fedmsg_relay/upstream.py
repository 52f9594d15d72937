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
import uuid
from collections.abc import Iterator, Sequence
from enum import StrEnum

from fedmsg_relay import answers, limits, submit, zmtp
from fedmsg_relay.log import log
from fedmsg_relay.outbound import MIRROR
from fedmsg_relay.outgoing import Kind, Outgoing

INQUIRE_SECONDS = 1.0
"""How often a relay upstream is asked who it is; what it answers may change when its own upstream does."""

UNHEARD_SECONDS = 0.05
"""The same, while our subscription to its outbound is on its way."""

ANSWER_SECONDS = 5.0
"""After which a relay that does not answer is connected to anew."""

HEAR_SECONDS = 3.0
"""The same, where it does not take our subscription."""

LEFTOVER_SECONDS = 0.5
"""How long what the relay had published before its connection broke is still taken in."""

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 0.5
"""Before it is connected to anew: longer each time, until it has been joined for a while."""

STEADY_SECONDS = 2.0
"""How long that is."""

LINES_AT_ONCE, SECONDS_A_LINE = 6, 10.0
"""Lines about a link in the log: so many at once, then one in so many seconds."""

ANSWERS_AT_ONCE = 100
"""Answers looked at in one turn; there are two to be had at most, and more end the link."""

_SUBMIT = Kind(zmtp.DEALER, max_bytes=limits.ANSWER_BYTES, hold_bytes=limits.ANSWER_BYTES)


_Answered = answers.Receipt | answers.Refused | answers.Busy


class State(StrEnum):
    """How a link is."""

    JOINED = "joined"
    AWAY = "away"
    LOOP = "loop"


class _BrokenError(Exception):
    """The link can not be used as it is; it says why."""


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
        passing: whether a batch is on its way.
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
        self._mirror: Outgoing | None = None
        self._leftover: tuple[float, Outgoing] | None = None
        self._pause = SHORTEST_PAUSE_SECONDS
        self._next_try = 0.0
        self._token = b""
        self._asked = False
        self._sent = self._next_inquiry = self._joined_since = 0.0
        self._was_joined = False
        self.passing = False
        self._oversized = 0
        self._told: tuple[State, str] | None = None
        self._lines, self._lines_at = float(LINES_AT_ONCE), time.monotonic()

    def waking(self, forwarding: bool) -> list[socket.socket]:
        """Get the sockets on which something may come.

        Args:
            forwarding: whether what the relay publishes is wanted now.
        """
        wanted = [self._submit, self._mirror if forwarding or self.state != State.JOINED else None]
        return [found for each in wanted if each is not None and (found := each.waking) is not None]

    @property
    def unsettled(self) -> bool:
        """Whether it has to be looked after soon, without anything having come."""
        if self._leftover is not None:
            return True
        if self._submit is None:
            return self._pause < LONGEST_PAUSE_SECONDS
        joining = self._submit.up and self.state == State.AWAY
        return joining or any(each is not None and each.unsettled for each in (self._submit, self._mirror))

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

    def pass_on(self, frames: Sequence[bytes]) -> bool:
        """Send a batch; another one only when this one is answered.

        Args:
            frames: topic and body of each message.

        Returns:
            Whether it is on its way.
        """
        if self._submit is None or not self._submit.up or self.passing:
            return False
        self._send(self._submit, [submit.PASSING, *frames])
        self.passing = True
        return True

    def heard(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Take in what the relay published, when it may be forwarded.

        Args:
            limit: messages at most.

        Yields:
            Topic and body.
        """
        if self._leftover is not None:
            until, mirror = self._leftover
            mirror.update()
            number = 0
            for number, frames in enumerate(mirror.take(limit), start=1):  # noqa: B007 -- counted for below
                if len(frames) == 2:
                    yield frames[0], frames[1]
            if not number and (mirror.fault or time.monotonic() >= until):
                mirror.close()
                self._leftover = None
        elif self.state == State.JOINED and self._mirror is not None:
            for frames in self._mirror.take(limit):
                if len(frames) == 2:  # all that a relay of ours publishes
                    yield frames[0], frames[1]

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
        self._asked = self.passing = False
        self._next_inquiry = 0.0
        self._next_try = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        leftover = self._leftover[1] if self._leftover is not None else None
        for each in (self._submit, self._mirror, leftover):
            if each is not None:
                each.close()

    def _go_on(self, connection: Outgoing, now: float) -> _Answered | None:
        connection.update()
        if self._mirror is not None:
            self._mirror.update()
            self._note_oversized(self._mirror)
        answered = None
        for frames in connection.take(ANSWERS_AT_ONCE):
            answered = self._judge(frames) or answered
        if answered is not None:  # what it said before it left counts
            self._inquire(connection, now)  # before the next batch, or under load it would never be asked
            return answered
        if connection.fault:
            raise _BrokenError(connection.fault)
        if self._mirror is not None and self._mirror.fault:
            raise _BrokenError(f"outbound {self.outbound_address}: {self._mirror.fault}")
        if connection.oversized:
            raise _BrokenError("its answer is too large")
        if (self._asked or self.passing) and now - self._sent > 1 and connection.stands(ANSWER_SECONDS):
            raise _BrokenError("it does not answer")
        if not connection.up:
            self._wait_for(connection)
        elif self._mirror is None:
            self._subscribe()
        self._inquire(connection, now)
        return None

    def _inquire(self, connection: Outgoing, now: float) -> None:
        if connection.up and not self._asked and now >= self._next_inquiry:
            self._send(connection, [submit.INQUIRY, self._token])
            self._asked = True

    def _wait_for(self, connection: Outgoing) -> None:
        if why := connection.waits_for:
            self._become(State.AWAY, why)

    def _send(self, connection: Outgoing, frames: Sequence[bytes]) -> None:
        connection.send([b"", *frames])
        self._sent = time.monotonic()

    # The subscription.

    def _subscribe(self) -> None:
        """Begin to listen to the relay, over a connection of which we know what came over it."""
        self._token = MIRROR + uuid.uuid4().hex.encode()
        # Our own subscription comes after that to everything: when it is in force, so is the other.
        mirror = Kind(zmtp.SUB, self._max_bytes, limits.MIRROR_BYTES, greeting=[[b"\x01" + self._token]])
        self._mirror = Outgoing(self.outbound_address, mirror)
        self._oversized = 0
        self._was_joined = False

    def _unsubscribe(self) -> None:
        """End the subscription; what came over it while the relay was joined is still taken in."""
        mirror, self._mirror = self._mirror, None
        if mirror is None:
            return
        if not self._was_joined:
            mirror.close()
            return
        if self._leftover is not None:
            self._leftover[1].close()
        self._leftover = time.monotonic() + LEFTOVER_SECONDS, mirror

    def _note_oversized(self, mirror: Outgoing) -> None:
        if mirror.oversized > self._oversized:
            self._oversized = mirror.oversized
            log.warning(
                "upstream %s publishes a message of more than %d bytes: it is not forwarded, %d so far",
                self.outbound_address,
                self._max_bytes,
                self._oversized,
            )

    # What it answers.

    def _judge(self, frames: list[bytes]) -> _Answered | None:
        """Take in an answer; return it if it is that of the batch on its way."""
        answer = answers.read(frames[-1])
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
        if not self.passing:
            raise _BrokenError("it answers what it was not asked")
        self.passing = False
        return answer

    def _learn(self, relay: answers.Introduction) -> None:
        """Take in who the relay is, and whether our subscription to its outbound is in force."""
        now = time.monotonic()
        mirror = self._mirror
        self._asked, self._next_inquiry, self.chain = False, now + INQUIRE_SECONDS, relay.chain
        chain = " -> ".join(relay.chain)
        if self._identity in relay.chain:
            self._become(State.LOOP, f"its chain leads back here ({chain}): nothing is passed on")
        elif relay.complete and relay.heard and self._leftover is None:
            self._join(f"chain {chain}", now)
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

    def _join(self, why: str, now: float) -> None:
        if self.state != State.JOINED:
            self._joined_since = now
        self._was_joined = True
        self._become(State.JOINED, why)

    def _become(self, state: State, why: str) -> None:
        self.state, self.why = state, why
        self._tell()

    def _tell(self) -> None:
        """Say in the log how the link is, where that has changed; what changes too often is told once it may be."""
        if not self.why or self._told == (self.state, self.why):
            return
        now = time.monotonic()
        self._lines = min(float(LINES_AT_ONCE), self._lines + (now - self._lines_at) / SECONDS_A_LINE)
        self._lines_at = now
        if self._lines < 1:
            return
        self._lines -= 1
        self._told = self.state, self.why
        level = {State.JOINED: log.info, State.AWAY: log.warning, State.LOOP: log.error}[self.state]
        level("upstream %s %s: %s", self.submit_address, self.state, self.why)
