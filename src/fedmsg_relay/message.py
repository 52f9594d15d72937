"""Decides which messages are well-formed: a relay publishes no other message.

A message that a stock relay would have delivered is delivered. A message that would break a stock listener never
reaches one. So a message is exactly two frames, a UTF-8 topic (it may be empty) and a body
that is UTF-8 JSON as :func:`json.loads` takes it (NaN and duplicate keys included; it need not be an object).
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from enum import StrEnum

DEFAULT_MAX_MESSAGE_SIZE = 16 * 1024 * 1024
"""Bytes of topic and body together that a relay takes unless relay.toml says otherwise."""

MAX_NESTING = 900
"""Levels of arrays and objects in a body.

Stock listeners run json.loads under Python's recursion limit of 1000 and die at some 950 levels, less what
their own stack takes. Newer Pythons parse ten times that, so the limit is ours and not the interpreter's.
"""

MAX_MSG_ID = 200
"""Characters of a msg_id; stock's have 41."""

SMALL_BODY = 64 * 1024
"""Bytes up to which json.loads may make objects of a body. They may take 60 times its size; a larger body is looked at
without making them."""


class Reason(StrEnum):
    """Why a message is not well-formed. This list is closed: counters, logs and docs use these and no others."""

    FRAME_COUNT = "frame-count"
    TOPIC_NOT_UTF8 = "topic-not-utf8"
    BODY_NOT_UTF8 = "body-not-utf8"
    BODY_NOT_JSON = "body-not-json"
    TOO_DEEP = "too-deep"
    TOO_LARGE = "too-large"


def fault(topic: bytes, body: bytes, max_size: int = DEFAULT_MAX_MESSAGE_SIZE) -> Reason | None:
    """Say why a two-frame message is not well-formed.

    Args:
        topic: the first frame.
        body: the second frame.
        max_size: bytes that topic and body together may have.

    Returns:
        The reason, or None for a well-formed message.
    """
    return examine(topic, body, max_size)[0]


def find_msg_id(body: bytes) -> object:
    """Get the ``msg_id`` of the envelope; :func:`fedmsg_relay.body.find_msg_id` is faster where it is asked for often.

    Args:
        body: UTF-8, and not nested too deep.

    Returns:
        The value, of any type; None if the body is not an envelope, or has no ``msg_id``.

    Raises:
        ValueError: json.loads does not take the body.
    """
    if len(body) <= SMALL_BODY:
        return parse_msg_id(body)
    from fedmsg_relay import body as look  # noqa: PLC0415 -- msgspec is not needed for what scripts mostly send

    return look.find_msg_id(body)


def parse_msg_id(body: bytes) -> object:
    """Do what :func:`find_msg_id` does, by json.loads alone."""
    parsed = json.loads(body.decode())
    return parsed.get("msg_id") if isinstance(parsed, dict) else None


def examine(
    topic: bytes, body: bytes, max_size: int, find: Callable[[bytes], object] = find_msg_id
) -> tuple[Reason | None, str | None]:
    """Do what :func:`fault` does, and get the ``msg_id`` of the envelope on the way.

    It takes time in proportion to the size of the message, and at most eight times its size of memory.

    Args:
        topic: the first frame.
        body: the second frame.
        max_size: bytes that topic and body together may have.
        find: does what :func:`find_msg_id` does.

    Returns:
        The reason, or None; and the ``msg_id``, or None if the body is not an envelope that has one.

    Raises:
        MemoryError: this memory is not there. The message is not at fault.
    """
    if len(topic) + len(body) > max_size:
        return Reason.TOO_LARGE, None
    # isascii() takes a third of the time of a look at UTF-8.
    if not (topic.isascii() or _is_utf8(topic)):
        return Reason.TOPIC_NOT_UTF8, None
    if not (body.isascii() or _is_utf8(body)):
        return Reason.BODY_NOT_UTF8, None
    if len(body) > 2 * MAX_NESTING and _nests_too_deep(body):  # a shorter body that is JSON does not
        return Reason.TOO_DEEP, None
    try:
        msg_id = find(body)
    except (RecursionError, ValueError) as error:
        # With a RecursionError the stack of the caller is that deep already.
        too_deep = isinstance(error, RecursionError) or _nests_too_deep(body)
        return Reason.TOO_DEEP if too_deep else Reason.BODY_NOT_JSON, None
    # Any other value is passed on, but a retry is not recognised by it.
    return None, msg_id if isinstance(msg_id, str) and msg_id.isascii() and len(msg_id) <= MAX_MSG_ID else None


def _is_utf8(frame: bytes) -> bool:
    start = 0
    try:
        while start < len(frame):
            text = frame[start : start + SMALL_BODY]  # the whole of it would take four times its size
            start += codecs.utf_8_decode(text, "strict", start + len(text) == len(frame))[1]
    except ValueError:
        return False
    return True


def _nests_too_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING:
        return False
    from fedmsg_relay.body import nesting  # noqa: PLC0415 -- seldom needed

    return nesting(body) > MAX_NESTING
