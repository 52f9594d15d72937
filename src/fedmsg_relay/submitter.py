"""A script's connection to submit: to the first relay that gives a receipt. The protocol stands in docs/submit.md."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import zmq

from fedmsg_relay.connection import Kind, Message, first_ready
from fedmsg_relay.errors import NoRelayError, NotWellFormedError, RefusedError, RelayError
from fedmsg_relay.submit import CODES, MAX_MESSAGES, VERSION, Refusal

ANSWER_SECONDS = 5.0
"""How long a relay that took a batch has for its receipt, while another could be asked instead."""


BATCH_BYTES = 1024 * 1024
"""Bytes after which a batch takes no further message."""


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
        self.address = ""

    def send(self, messages: Sequence[Message], timeout: float) -> int:
        """Submit messages, and wait until they are on the relay's disk.

        A relay that is asked again, after an answer that did not come, knows by its msg_id what it has already.

        Args:
            messages: topic and body of each; any number.
            timeout: seconds for all of it.

        Returns:
            The last ``seq`` that the relay gave them.

        Raises:
            NoRelayError: no relay gave a receipt in time. It may have the messages all the same.
            NotWellFormedError: the relay refused them as such.
            RefusedError: the relay refused them by policy.
        """
        deadline = time.monotonic() + timeout
        seq = sent = 0
        for batch in _batches(messages):
            try:
                seq = self._submit(batch, deadline, timeout)
            except NoRelayError as error:
                error.sent = sent
                raise
            sent += len(batch)
        return seq

    def close(self, timeout: float) -> None:  # noqa: ARG002 -- as InboundConnection's; here nothing is left to wait for
        """Close; every receipt has come."""
        self._disconnect()
        self._context.term()

    def _submit(self, messages: Sequence[Message], deadline: float, timeout: float) -> int:
        request = [b"", VERSION, *(frame for message in messages for frame in message)]
        why = "no relay answered"
        preferred = self._addresses
        asked_busy = 0
        while (left := deadline - time.monotonic()) > 0:
            if self._socket is None:
                self.address, self._socket = first_ready(
                    self._context, Kind(zmq.DEALER, {}), preferred, self._where, deadline
                )
                if self._socket is None:
                    break
            # Of several, the next one gets its share of the time: where there is a spool, all of it is 2 s.
            patience = left if len(self._addresses) == 1 else min(left / 2, ANSWER_SECONDS)
            answer = self._ask(self._socket, request, patience)
            if answer is None:
                why = f"{self.address} gave no receipt"
            elif answer.get("status") == "accepted":
                return int(answer["seq"][1])
            elif answer.get("status") == "refused":
                raise _refusal(answer)
            else:
                why = f"{self.address} is busy"
                asked_busy += 1
                if asked_busy % len(self._addresses) == 0:  # every one of them is
                    time.sleep(max(0.0, min(float(answer.get("retry_after", 1)), deadline - time.monotonic(), 1.0)))
                if len(self._addresses) == 1:
                    continue
            # The next relay first, this one again after it.
            preferred = [a for a in preferred if a != self.address] + [self.address]
            self._disconnect()
        found = ", ".join(self._addresses)
        raise NoRelayError(f"{why} within {timeout:.3g} s at {found} ({self._where}); not acknowledged")

    def _ask(self, dealer: zmq.Socket[bytes], request: list[bytes], patience: float) -> dict[str, Any] | None:
        """Send one request; return its answer, or None if none came."""
        try:
            dealer.send_multipart(request, zmq.DONTWAIT)
            if not dealer.poll(max(1, int(patience * 1000))):
                return None
            frames = dealer.recv_multipart()
            answer = json.loads(frames[-1])
        except (zmq.Again, ValueError):
            return None
        except BaseException:
            self._disconnect()  # an answer that comes now must not be taken for that to the next request
            raise
        return answer if isinstance(answer, dict) and frames[1:2] == [VERSION] else None

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Cut messages into batches that cross a network in reasonable time."""
    batch: list[Message] = []
    size = 0
    for message in messages:
        size += len(message[0]) + len(message[1])
        if batch and (len(batch) == MAX_MESSAGES or size > BATCH_BYTES):
            yield batch
            batch, size = [], len(message[0]) + len(message[1])
        batch.append(message)
    if batch:
        yield batch


def _refusal(answer: dict[str, Any]) -> RelayError:
    """What a refusal means: a relay that speaks otherwise is none of ours, and not the message's fault."""
    reason = str(answer.get("reason"))
    text = f"refused by the relay: {reason} ({answer.get('detail')}); not sent"
    if reason in set(Refusal):
        return NoRelayError(text)
    return NotWellFormedError(text) if reason in CODES else RefusedError(text)
