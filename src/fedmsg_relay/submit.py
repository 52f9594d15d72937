"""The protocol of submit, version 1: each request, inquiry and reply, as it is written and as it is read.

docs/submit.md has it as the author of a client needs it. A request is the frames ``b""``, ``b"FMR1"``, then ``topic``
and ``body`` of each message, up to ``MAX_MESSAGES`` times: a batch, which is accepted or refused as a whole. A reply is
the frames ``b""``, ``b"FMR1"`` and one JSON object.

Relays say two more things to each other. An inquiry, ``b"FMR1?"`` and a topic, asks who answers, and whether it has a
listener that subscribed to that topic. ``b"FMR1>"`` submits like ``b"FMR1"``, for a chained relay that
forwards.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fedmsg_relay.message import Reason

if TYPE_CHECKING:
    from fedmsg_relay.connection import Message
    from fedmsg_relay.network.zmtp import Oversize

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
    """Make the frames by which a chained relay asks who answers here.

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


class Request:
    """A batch that somebody submitted.

    Args:
        route: the frames that the reply begins with.
        messages: topic and body of each.
        forwarded: whether a chained relay forwards them.
    """

    def __init__(self, route: list[bytes], messages: list[Message], forwarded: bool) -> None:
        self.route = route
        self.messages = messages
        self.forwarded = forwarded


class Inquiry:
    """A chained relay asks who answers here.

    Args:
        route: the frames that the reply begins with.
        subscription: to look for among those of the listeners.
    """

    def __init__(self, route: list[bytes], subscription: bytes) -> None:
        self.route = route
        self.subscription = subscription


class Malformed:
    """Frames that are not a request.

    Args:
        route: the frames that the reply begins with.
        code: why.
        detail: the same for a person.
    """

    def __init__(self, route: list[bytes], code: Refusal | Reason, detail: str) -> None:
        self.route = route
        self.code = code
        self.detail = detail


def read_request(frames: list[bytes]) -> Request | Inquiry | Malformed:
    """Read a request as it came from a peer.

    Args:
        frames: all of them.

    Returns:
        The batch, or the inquiry, or what is wrong with it.
    """
    if len(frames) < 2 or frames[0] != b"":
        return Malformed([], Refusal.BAD_REQUEST, "frames must be: empty, FMR1, then topic and body of each message")
    route, version, rest = frames[:1], frames[1], frames[2:]
    if version == INQUIRY and len(rest) == 1:
        return Inquiry(route, rest[0])
    if version not in {VERSION, FORWARDED}:
        return Malformed(route, Refusal.BAD_VERSION, "this relay speaks FMR1")
    if not rest or len(rest) % 2:
        return Malformed(route, Refusal.BAD_REQUEST, "after FMR1 come topic and body of each message, at least one")
    if len(rest) > 2 * MAX_MESSAGES:
        return Malformed(route, Refusal.BATCH_TOO_LARGE, f"a batch has at most {MAX_MESSAGES} messages")
    return Request(route, list(zip(rest[::2], rest[1::2], strict=True)), version == FORWARDED)


def read_oversize(request: Oversize) -> Malformed:
    """Judge a request of more bytes or frames than a relay keeps.

    Args:
        request: what is known of it.
    """
    route = [] if request.first else [b""]
    if request.frames <= 4:
        return Malformed(route, Reason.TOO_LARGE, f"{request.size} bytes are more than this relay takes")
    detail = f"a batch has at most {MAX_MESSAGES} messages and the bytes of the largest message, at least 16 MiB"
    return Malformed(route, Refusal.BATCH_TOO_LARGE, detail)


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
        return _encode(status="accepted", seq=[self.first, self.last], duplicates=self.duplicates)

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
            if len(chain) <= MAX_CHAIN and all(_is_identity(each) for each in chain):
                return Introduction(chain, complete, heard)
    return None


_HUGE = 2**63
_IN_CODES = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _HUGE  # a bool is not


def _is_identity(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_IDENTITY and value.isprintable()


def _encode(**reply: object) -> bytes:
    return json.dumps(reply).encode()
