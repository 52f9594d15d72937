"""The protocol of submit, version 1: each request and inquiry as it is written, each reply as it is written and read.

docs/submit.md has it as the author of a client needs it. A request is the frames ``b""``, ``b"FMR1"``, then ``topic``
and ``body`` of each message, up to ``MAX_MESSAGES`` times: a batch, which is accepted or refused as a whole. A reply is
the frames ``b""``, ``b"FMR1"`` and one JSON object.

Relays say two more things to each other. An inquiry, ``b"FMR1?"`` and a topic, asks which relay answers, and whether it
has a listener that subscribed to that topic. ``b"FMR1>"`` submits like ``b"FMR1"``, for a chained relay that forwards.

This module is on the path of every one-off script: it imports only what that needs. Requests are read by
:mod:`fedmsg_relay.network.request`, which scripts do not need.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fedmsg_relay.message import Reason

if TYPE_CHECKING:
    from fedmsg_relay.connection import Message

VERSION = b"FMR1"
INQUIRY = b"FMR1?"
FORWARDED = b"FMR1>"
MAX_MESSAGES = 1000
MAX_FRAMES = 2 + 2 * (MAX_MESSAGES + 1)
"""Frames of a request that are kept; a request that has more is not looked at."""

BATCH_BYTES = 1024 * 1024
"""Bytes of messages after which a batch takes no further one: it has to cross a network in reasonable time."""

MAX_CHAIN, MAX_IDENTITY = 100, 300
"""Relays of a chain, and characters of what each one is known by, that an introduction may have."""


class Refusal(StrEnum):
    """Codes of refused batches, besides :class:`~fedmsg_relay.message.Reason`. Together they are a closed list."""

    BAD_REQUEST = "bad-request"
    BAD_VERSION = "bad-version"
    BATCH_TOO_LARGE = "batch-too-large"


CODES = tuple(str(code) for code in (*Refusal, *(r for r in Reason if r is not Reason.FRAME_COUNT)))
"""All codes that the refusal of a batch may have."""

# Requests. All classes here are plain ones: each NamedTuple would cost a cold script a tenth of a millisecond.


def write_request(messages: Iterable[Message], *, forwarded: bool = False) -> list[bytes]:
    """Make the frames that submit a batch.

    Args:
        messages: topic and body of each, at most ``MAX_MESSAGES``.
        forwarded: whether a chained relay forwards them.
    """
    return [b"", FORWARDED if forwarded else VERSION, *(frame for message in messages for frame in message[:2])]


def write_inquiry(subscription: bytes) -> list[bytes]:
    """Make the frames by which a chained relay asks which relay answers here.

    Args:
        subscription: to look for among those of the listeners.
    """
    return [b"", INQUIRY, subscription]


def batches(
    messages: Iterable[Message], max_messages: int = MAX_MESSAGES, max_bytes: int = BATCH_BYTES
) -> Iterator[list[Message]]:
    """Cut messages into batches.

    Args:
        messages: topic and body of each; taken one by one, as batches are asked for.
        max_messages: messages of a batch.
        max_bytes: bytes of a batch; a single message may have more.

    Yields:
        Batches of at least one message, in order.
    """
    batch: list[Message] = []
    size = 0
    for message in messages:
        size += len(message[0]) + len(message[1])
        if batch and (len(batch) == max_messages or size > max_bytes):
            yield batch
            batch, size = [], len(message[0]) + len(message[1])
        batch.append(message)
    if batch:
        yield batch


# Replies.


class Accepted:
    """The receipt of a batch: the relay has all of it on its disk.

    Args:
        first: ``seq`` of its first message, in the relay's journal.
        last: ``seq`` of its last message.
        duplicates: how many of its messages the journal had already.
    """

    def __init__(self, first: int, last: int, duplicates: int) -> None:
        self.first = first
        self.last = last
        self.duplicates = duplicates

    def encode(self) -> bytes:
        """Make the JSON of the reply."""
        # Most replies are receipts: this is made in a tenth of the time of json.dumps.
        seqs = f"[{self.first}, {self.last}]"
        return f'{{"status": "accepted", "seq": {seqs}, "duplicates": {self.duplicates}}}'.encode()

    def fits(self, messages: int) -> bool:
        """Tell whether this can be the receipt of a batch.

        Args:
            messages: how many the batch has.
        """
        if self.duplicates:
            return self.duplicates <= messages
        return self.last - self.first + 1 == messages


class Refused:
    """A batch is not taken, now or later.

    Args:
        code: why; of :data:`CODES` where it is a relay of ours.
        detail: the same for a person.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail

    def encode(self) -> bytes:
        """Make the JSON of the reply."""
        return _encode(status="refused", reason=str(self.code), detail=self.detail)


class Busy:
    """A batch cannot be taken now.

    Args:
        retry_after: seconds after which to try again.
    """

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after

    def encode(self) -> bytes:
        """Make the JSON of the reply."""
        return _encode(status="busy", retry_after=self.retry_after)


class Introduction:
    """The answer to an inquiry.

    Args:
        chain: identities of the relay, its upstream, and so on.
        complete: whether the last one of these publishes by itself.
        heard: whether the relay has a listener with the subscription of the inquiry.
    """

    def __init__(self, chain: Sequence[str], complete: bool, heard: bool) -> None:
        self.chain = list(chain)
        self.complete = complete
        self.heard = heard

    def encode(self) -> bytes:
        """Make the JSON of the reply."""
        return _encode(status="relay", chain=self.chain, complete=self.complete, heard=self.heard)


Reply = Accepted | Refused | Busy | Introduction


def read_reply(frames: Sequence[bytes]) -> Reply | None:
    """Read a reply. Anybody may answer, so nothing is trusted.

    Args:
        frames: all of them.

    Returns:
        The reply; None where the protocol has no such reply.
    """
    if len(frames) != 3 or frames[0] != b"" or frames[1] != VERSION:
        return None
    try:
        found = json.loads(frames[2].decode())
    except (ValueError, RecursionError):
        return None
    return _read(found)


def _read(found: Any) -> Reply | None:
    match found:
        case {"status": "accepted", "seq": [first, last]}:
            duplicates = found.get("duplicates", 0)
            if _is_count(first) and _is_count(last) and _is_count(duplicates) and first <= last:
                return Accepted(first, last, duplicates)
        case {"status": "refused", "reason": str(code)}:
            if 0 < len(code) <= 40 and _IN_CODES.issuperset(code):
                detail = found.get("detail")
                return Refused(code, detail if isinstance(detail, str) else "")
        case {"status": "busy", "retry_after": pause}:
            if type(pause) in {int, float} and 0 <= pause < _HUGE:  # NaN is not
                return Busy(float(pause))
        case {"status": "relay", "chain": list(chain), "complete": bool(complete), "heard": bool(heard)}:
            if len(chain) <= MAX_CHAIN and all(map(is_identity, chain)):
                return Introduction(chain, complete, heard)
    return None


_HUGE = 2**63
_IN_CODES = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _HUGE  # a bool is not


def is_identity(value: Any) -> bool:
    """Tell whether a relay can be known by this.

    Args:
        value: anything.
    """
    return isinstance(value, str) and 0 < len(value) <= MAX_IDENTITY and value.isprintable()


def _encode(**reply: object) -> bytes:
    return json.dumps(reply).encode()
