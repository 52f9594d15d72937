"""submit, version 1: what scripts say to the relay at submit (a ROUTER, for them), and what it answers.

See docs/submit.md for the protocol as a client's author needs it. Request frames: ``b""``, ``b"FMR1"``, then ``topic``,
``body``, repeated up to ``MAX_MESSAGES`` times: a batch, accepted or refused as a whole.
Reply frames: ``b""``, ``b"FMR1"``, one JSON object.

Relays say two things more to each other: ``b"FMR1?"`` and a topic ask who answers, and whether it has a listener that
subscribed to that topic; ``b"FMR1>"`` submits like ``b"FMR1"``, but what a chained relay passes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from fedmsg_relay.message import Reason

if TYPE_CHECKING:
    from fedmsg_relay.network.zmtp import Oversize

VERSION = b"FMR1"
INQUIRY = b"FMR1?"
PASSING = b"FMR1>"
MAX_MESSAGES = 1000
MAX_FRAMES = 2 + 2 * (MAX_MESSAGES + 1)
"""Frames of a request that are kept; one that has more is not looked at."""


class Refusal(StrEnum):
    """Why a submit is refused, besides every :class:`~fedmsg_relay.message.Reason`. Together they are a closed list."""

    BAD_REQUEST = "bad-request"
    BAD_VERSION = "bad-version"
    BATCH_TOO_LARGE = "batch-too-large"


CODES = tuple(str(code) for code in (*Refusal, *(r for r in Reason if r is not Reason.FRAME_COUNT)))
"""All reason codes that a refused submit may have."""


class Request(NamedTuple):
    """A batch that somebody submitted.

    Attributes:
        route: the frames that the reply begins with.
        messages: topic and body of each.
        passed: whether a chained relay passes them on.
    """

    route: list[bytes]
    messages: list[tuple[bytes, bytes]]
    passed: bool


class Inquiry(NamedTuple):
    """A chained relay asks who answers here.

    Attributes:
        route: the frames that the reply begins with.
        subscription: to look for among those of the listeners.
    """

    route: list[bytes]
    subscription: bytes


class Malformed(NamedTuple):
    """A request that is none."""

    route: list[bytes]
    code: Refusal | Reason
    detail: str


def parse(frames: list[bytes]) -> Request | Inquiry | Malformed:
    """Read a request as it came from the ROUTER socket.

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
    if version not in {VERSION, PASSING}:
        return Malformed(route, Refusal.BAD_VERSION, "this relay speaks FMR1")
    if not rest or len(rest) % 2:
        return Malformed(route, Refusal.BAD_REQUEST, "after FMR1 come topic and body of each message, at least one")
    if len(rest) > 2 * MAX_MESSAGES:
        return Malformed(route, Refusal.BATCH_TOO_LARGE, f"a batch has at most {MAX_MESSAGES} messages")
    return Request(route, list(zip(rest[::2], rest[1::2], strict=True)), version == PASSING)


def too_large(request: Oversize) -> Malformed:
    """Judge a request of more bytes or frames than a relay keeps of one.

    Args:
        request: what is known of it.
    """
    route = [] if request.first else [b""]
    if request.frames <= 4:
        return Malformed(route, Reason.TOO_LARGE, f"{request.size} bytes are more than this relay takes")
    detail = f"a batch has at most {MAX_MESSAGES} messages and the bytes of the largest message, at least 16 MiB"
    return Malformed(route, Refusal.BATCH_TOO_LARGE, detail)


def accepted(first: int, last: int, duplicates: int) -> bytes:
    """Make the receipt of a batch that is on disk.

    Args:
        first: ``seq`` of its first message.
        last: ``seq`` of its last message.
        duplicates: how many of its messages were in the journal already.
    """
    return _reply(status="accepted", seq=[first, last], duplicates=duplicates)


def refused(code: str, detail: str) -> bytes:
    """Make the answer to a batch that is not taken, now or later.

    Args:
        code: of :data:`CODES`.
        detail: for a person.
    """
    return _reply(status="refused", reason=str(code), detail=detail)


def busy(retry_after: float) -> bytes:
    """Make the answer to a batch that can not be taken now.

    Args:
        retry_after: seconds after which to try again.
    """
    return _reply(status="busy", retry_after=retry_after)


def relay(chain: Sequence[str], complete: bool, heard: bool) -> bytes:
    """Make the answer to an inquiry.

    Args:
        chain: identities of this relay, its upstream, and so on.
        complete: whether the last one of these publishes by itself.
        heard: whether there is a listener with that subscription.
    """
    return _reply(status="relay", chain=list(chain), complete=complete, heard=heard)


def _reply(**answer: object) -> bytes:
    return json.dumps(answer).encode()
