"""A script's connection to submit: to the first relay that gives a receipt. The protocol is in submit.py."""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq

from fedmsg_relay.connection import Kind, Message, Sent, first_ready
from fedmsg_relay.errors import NoRelayError, NotWellFormedError, RefusedError, RelayError, tenths
from fedmsg_relay.submit import CODES, Accepted, Busy, Refusal, Refused, Reply, batches, read_reply, write_request

ANSWER_SECONDS = 5.0
"""Maximum time for the receipt of a batch; then the batch is sent again, to the next relay if there is one."""

SHARE_SECONDS = 0.5
"""Each try takes half of the time that is left, so that another one is possible; below this time it takes all."""

PAUSE_SECONDS = 0.1
"""Pause after a round in which no relay took the batch."""

_SOURCE_NOT_ALLOWED = "source-not-allowed"
"""The code in ``trust.reasons``, which scripts do not load."""


class SourceNotAllowedError(RefusedError):
    """The relay takes no message from the address of this host. It is not the fault of the message."""


class SubmitConnection:
    """A connection to the submit of the first relay that answers.

    Args:
        addresses: of submit, in order of preference.
        where: where these stand, for messages.
        io_threads: of the ZeroMQ context.
    """

    def __init__(self, addresses: Sequence[str], where: str, io_threads: int = 1) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._where = where
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._socket: zmq.Socket[bytes] | None = None
        self._unresolved = ""
        self._monitor: zmq.Socket[bytes]  # says when the connection of that socket ends
        self.address = ""

    def send(self, messages: Sequence[Message], timeout: float) -> Sent:
        """Submit messages, and wait until they are on the relay's disk.

        A relay that is asked again, after a reply that did not come, knows by its msg_id what it already has.

        Args:
            messages: topic and body of each; any number.
            timeout: seconds for all of it.

        Returns:
            How many have a receipt. The fault is a NoRelayError if no relay gave a receipt in time: it may have the
            messages all the same. It is a NotWellFormedError or a RefusedError if the relay refused them.
        """
        deadline = time.monotonic() + timeout
        sent = Sent(0)
        for batch in batches(messages):
            try:
                seq = self._submit(batch, deadline, timeout)
            except RelayError as fault:
                return sent._replace(fault=fault)
            sent = Sent(sent.number + len(batch), self.address, seq)
        return sent

    def close(self, timeout: float) -> None:  # noqa: ARG002 -- as InboundConnection's; here nothing is left to wait for
        """Close; every receipt has come."""
        self._disconnect()
        self._context.term()

    def _submit(self, messages: Sequence[Message], deadline: float, timeout: float) -> int:
        request = write_request(messages)
        why = "no relay answered"
        preferred = self._addresses
        refusing: list[str] = []
        asked = 0
        if self._socket is not None and self._monitor.poll(0):
            self._disconnect()  # the connection has ended since the last batch
        while (left := deadline - time.monotonic()) > 0:
            if self._socket is None and not self._connect(preferred, deadline):
                break
            assert self._socket is not None  # noqa: S101 -- for the type checker
            # With the spool all of the time is 2 s.
            share = left / 2 if left > SHARE_SECONDS else left
            reply = self._ask(self._socket, request, min(share, ANSWER_SECONDS))
            pause = PAUSE_SECONDS
            if isinstance(reply, Accepted):
                return reply.last
            if isinstance(reply, Refused):
                preferred = [a for a in preferred if a != self.address]
                refusing.append(self.address)
                if reply.code != _SOURCE_NOT_ALLOWED or not preferred:
                    raise _refusal(reply, refusing)
                self._disconnect()  # each relay has networks of its own, and this one has taken nothing
                continue
            if isinstance(reply, Busy):
                why = f"{self.address} is busy"
                pause = min(max(pause, reply.retry_after), 1.0)
            else:
                why = f"{self.address} gave no receipt"
            asked += 1
            if asked % len(preferred) == 0:  # no relay took it
                time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            if not isinstance(reply, Busy) or len(preferred) > 1:
                # The next relay first, this one again after it.
                preferred = [a for a in preferred if a != self.address] + [self.address]
                self._disconnect()
        asked_at = ", ".join(address for address in self._addresses if address not in refusing)
        why = f"{why} within {tenths(timeout)} s at {asked_at} ({self._where}){self._unresolved}"
        if refusing:
            why += f"; {', '.join(refusing)} refused this host: {_SOURCE_NOT_ALLOWED}"
        raise NoRelayError(f"{why}; not acknowledged")

    def _connect(self, preferred: Sequence[str], deadline: float) -> bool:
        """Connect to the first relay that answers; return whether one did."""
        self.address, self._socket, self._unresolved = first_ready(
            self._context, Kind(zmq.DEALER, {}), preferred, self._where, deadline
        )
        if self._socket is None:
            return False
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        return True

    def _ask(self, dealer: zmq.Socket[bytes], request: list[bytes], patience: float) -> Reply | None:
        """Send one request; return its reply, or None if no relay of ours replied in time over this connection."""
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        try:
            dealer.send_multipart(request, zmq.DONTWAIT)
            if dealer not in dict(poller.poll(max(1, int(patience * 1000)))):
                return None
            return read_reply(dealer.recv_multipart(zmq.DONTWAIT))
        except zmq.Again:
            return None
        except BaseException:
            self._disconnect()  # an answer that comes now must not be taken for that to the next request
            raise

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._monitor.close()
            self._socket.close(linger=0)
            self._socket = None


def _refusal(refused: Refused, refusing: Sequence[str]) -> RelayError:
    """Make the error of a refusal. Where the request itself is refused, the relay is at fault and not the message."""
    text = f"refused by the relay: {refused.code} ({refused.detail})"
    if refused.code == _SOURCE_NOT_ALLOWED:
        every = f"; each of {', '.join(refusing)} refused it" if len(refusing) > 1 else ""
        return SourceNotAllowedError(f"{text}{every}; not sent")
    text += "; not sent"
    if refused.code in set(Refusal):
        return NoRelayError(text)
    return NotWellFormedError(text) if refused.code in CODES else RefusedError(text)
