"""A relay that this one is chained to: where it stands, and what is heard on its outbound.

A link is *joined* when three things are known of the relay at its other end: its own chain ends at a relay that
publishes by itself, it does not lead back to us, and our subscription to its outbound is in force. Until then nothing
is passed on and nothing that it publishes is forwarded, so that each message comes out exactly once at every outbound
along the chain.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import zmq

from fedmsg_relay import submit
from fedmsg_relay.log import log
from fedmsg_relay.outbound import MIRROR

INQUIRE_SECONDS = 1.0
"""How often a relay upstream is asked who it is; what it answers may change when its own upstream does."""

UNHEARD_SECONDS = 0.05
"""The same, while our subscription to its outbound is on its way."""

ANSWER_SECONDS = 5.0
"""After which a relay that does not answer is connected to anew."""

MIRROR_QUEUE = 10_000
"""Messages libzmq keeps of what a relay upstream publishes, while we are busy or may not forward it."""

LEFTOVER_SECONDS = 0.5
"""How long what the relay had published before its connection broke is still taken in."""

HEAR_SECONDS = 1.0
"""After which a subscription that is not in force is made anew."""

_COMMON = {zmq.IPV6: 1, zmq.LINGER: 0, zmq.HEARTBEAT_IVL: 2000, zmq.HEARTBEAT_TIMEOUT: 5000}


_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED


class State(StrEnum):
    """How a link is."""

    JOINED = "joined"
    AWAY = "away"
    LOOP = "loop"


class Link:
    """The connection to one relay upstream.

    Args:
        identity: of this relay.
        submit_address: of the relay's submit.
        outbound_address: of the same relay's outbound.
        context: to open sockets in.

    Attributes:
        state: how it is.
        chain: identities of the relays from there on, as far as it has told.
    """

    def __init__(
        self, identity: str, submit_address: str, outbound_address: str, context: zmq.Context[zmq.Socket[bytes]]
    ) -> None:
        self.submit_address = submit_address
        self.outbound_address = outbound_address
        self.state = State.AWAY
        self.chain: list[str] = []
        self._identity = identity
        self._context = context
        self._submits: zmq.Socket[bytes]
        self._asked = self._next_inquiry = self._subscribed = 0.0
        self._connected = False
        self._token = b""
        self._mirror: zmq.Socket[bytes] | None = None
        self._was_joined = False
        self._leftover: tuple[float, zmq.Socket[bytes]] | None = None
        self._connect()

    def waking(self, forwarding: bool) -> list[zmq.Socket[bytes]]:
        """Get the sockets on which something may come.

        Args:
            forwarding: whether what the relay publishes is wanted now.
        """
        wanted = [self._submits, self._monitor]
        if forwarding and self.state == State.JOINED and self._mirror is not None:
            wanted.append(self._mirror)
        return wanted

    @property
    def unsettled(self) -> bool:
        """Whether it has to be looked after soon, without anything having come."""
        return self._connected and (self.state == State.AWAY or self._leftover is not None)

    def update(self) -> list[dict[str, Any]]:
        """See to the connection; never waits.

        Returns:
            The answers to what was submitted.
        """
        while self._monitor.poll(0):
            event = int.from_bytes(self._monitor.recv_multipart()[0][:2], "little")
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self._connected = True
                self._subscribe()
            elif event == zmq.Event.DISCONNECTED:
                answers = self._answers()  # what it said before it left
                self.reset("it has closed the connection")
                return answers
        answers = self._answers()
        now = time.monotonic()
        if self._asked and now - self._asked > ANSWER_SECONDS:
            self.reset("it does not answer")
        elif self._connected and not self._asked and now >= self._next_inquiry:
            self._send([submit.INQUIRY, self._token])
            self._asked = now
        return answers

    def pass_on(self, frames: Sequence[bytes]) -> bool:
        """Send a batch.

        Args:
            frames: topic and body of each message.

        Returns:
            Whether it is on its way.
        """
        return self._send([submit.PASSING, *frames])

    def heard(self, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Take in what the relay published, when it may be forwarded.

        Args:
            limit: messages at most.

        Yields:
            Topic and body.
        """
        if self._leftover is not None:
            until, mirror = self._leftover
            yield from _read(mirror, limit)
            if time.monotonic() >= until and not mirror.poll(0):
                mirror.close()
                self._leftover = None
        elif self.state == State.JOINED and self._mirror is not None:
            yield from _read(self._mirror, limit)

    def reset(self, why: str) -> None:
        """Connect anew: what is known of the relay does not hold any more.

        Args:
            why: for the log.
        """
        self._become(State.AWAY, why)
        self._disconnect()
        self._connect()

    def close(self) -> None:
        """Close the connection."""
        self._was_joined = False
        self._disconnect()
        if self._leftover is not None:
            self._leftover[1].close()

    def _connect(self) -> None:
        self._connected = False
        self.chain = []
        self._asked = 0.0
        self._next_inquiry = 0.0
        self._submits = self._context.socket(zmq.DEALER)
        # Without IMMEDIATE, by which libzmq forgets what had come and was not read when the connection ends.
        for option, value in {**_COMMON, zmq.RECONNECT_IVL_MAX: 1000}.items():
            self._submits.setsockopt(option, value)
        self._monitor: zmq.Socket[bytes] = self._submits.get_monitor_socket(_EVENTS)
        self._submits.connect(self.submit_address)

    def _disconnect(self) -> None:
        self._submits.disable_monitor()
        self._monitor.close()
        self._submits.close()
        self._unsubscribe()

    def _subscribe(self) -> None:
        """Begin to listen to the relay, over a connection of which we know what came over it."""
        self._unsubscribe()
        self._token, self._subscribed = MIRROR + uuid.uuid4().hex.encode(), time.monotonic()
        self._mirror = self._context.socket(zmq.SUB)
        for option, value in {**_COMMON, zmq.RCVHWM: MIRROR_QUEUE, zmq.RECONNECT_IVL: -1}.items():
            self._mirror.setsockopt(option, value)
        self._mirror.subscribe(b"")
        self._mirror.subscribe(self._token)  # after the other one: when this one is in force, so is that
        self._mirror.connect(self.outbound_address)
        self._asked = self._next_inquiry = 0.0

    def _unsubscribe(self) -> None:
        """End the subscription; what came over it while the relay was joined is still taken in."""
        mirror, self._mirror = self._mirror, None
        if mirror is None:
            return
        if self._was_joined:
            if self._leftover is not None:
                self._leftover[1].close()
            self._leftover = (time.monotonic() + LEFTOVER_SECONDS, mirror)
            self._was_joined = False
        else:
            mirror.close()

    def _send(self, frames: Sequence[bytes]) -> bool:
        try:
            self._submits.send_multipart([b"", *frames], zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def _answers(self) -> list[dict[str, Any]]:
        answers = []
        while self._submits.poll(0):
            try:
                answer = json.loads(self._submits.recv_multipart()[-1])
                if answer["status"] == "relay":
                    self._learn(
                        [str(each) for each in answer["chain"]], bool(answer["complete"]), bool(answer["heard"])
                    )
                elif self._asked and answer.get("reason") == submit.Refusal.BAD_VERSION:
                    self._become(State.AWAY, "it is a relay that can not be chained to: too old")
                    self._asked, self._next_inquiry = 0.0, time.monotonic() + ANSWER_SECONDS
                else:
                    answers.append(answer)
            except (ValueError, KeyError, TypeError, AttributeError):
                log.warning("upstream %s: what it answers is no answer", self.submit_address)
        return answers

    def _learn(self, chain: list[str], complete: bool, heard: bool) -> None:
        """Take in who the relay is, and whether our subscription to its outbound is in force."""
        now = time.monotonic()
        self._asked, self._next_inquiry, self.chain = 0.0, now + INQUIRE_SECONDS, chain
        if self._identity in chain:
            self._become(State.LOOP, f"its chain leads back here ({' -> '.join(chain)}): nothing is passed on")
        elif complete and heard and self._leftover is None:
            self._become(State.JOINED, f"chain {' -> '.join(chain)}")
        elif not complete or self._leftover is not None:
            self._become(State.AWAY, "its own upstream is away")
            self._next_inquiry = now + UNHEARD_SECONDS
        elif self.state != State.AWAY or now - self._subscribed > HEAR_SECONDS:
            self._become(State.AWAY, f"our subscription to {self.outbound_address} is not in force")
            self._subscribe()
        else:
            self._next_inquiry = now + UNHEARD_SECONDS

    def _become(self, state: State, why: str) -> None:
        if state == self.state:
            return
        level = {State.JOINED: log.info, State.AWAY: log.warning, State.LOOP: log.error}[state]
        level("upstream %s %s: %s", self.submit_address, state, why)
        self.state = state
        self._was_joined = self._was_joined or state == State.JOINED


def _read(mirror: zmq.Socket[bytes], limit: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(limit):
        try:
            frames = mirror.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            return
        if len(frames) == 2:  # all that a relay of ours publishes
            yield frames[0], frames[1]
