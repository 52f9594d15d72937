"""Reads the requests at submit as they come from a peer, of the protocol in :mod:`fedmsg_relay.submit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedmsg_relay import submit
from fedmsg_relay.message import Reason
from fedmsg_relay.submit import Refusal

if TYPE_CHECKING:
    from fedmsg_relay.connection import Message
    from fedmsg_relay.network.zmtp import Oversize


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
    """A chained relay asks which relay answers here.

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
    if version == submit.INQUIRY and len(rest) == 1:
        return Inquiry(route, rest[0])
    if version not in {submit.VERSION, submit.FORWARDED}:
        return Malformed(route, Refusal.BAD_VERSION, "this relay speaks FMR1")
    if not rest or len(rest) % 2:
        return Malformed(route, Refusal.BAD_REQUEST, "after FMR1 come topic and body of each message, at least one")
    if len(rest) > 2 * submit.MAX_MESSAGES:
        return Malformed(route, Refusal.BATCH_TOO_LARGE, f"a batch has at most {submit.MAX_MESSAGES} messages")
    return Request(route, list(zip(rest[::2], rest[1::2], strict=True)), version == submit.FORWARDED)


def read_oversize(request: Oversize) -> Malformed:
    """Judge a request of more bytes or frames than a relay keeps.

    Args:
        request: what is known of it.
    """
    route = [] if request.first else [b""]
    if request.frames <= 4:
        return Malformed(route, Reason.TOO_LARGE, f"{request.size} bytes are more than this relay takes")
    detail = f"a batch has at most {submit.MAX_MESSAGES} messages and the bytes of the largest message, at least 16 MiB"
    return Malformed(route, Refusal.BATCH_TOO_LARGE, detail)
