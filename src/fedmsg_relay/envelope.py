"""The envelope of a message, and the bytes of it, as stock fedmsg makes them.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from fedmsg_relay.errors import NotWellFormedError
from fedmsg_relay.forks import setting_up

Json = dict[str, Any]


def envelope(config: Mapping[str, Any], i: int, topic: str, msg: Any, modname: str) -> Json:
    """Wrap a message as stock fedmsg does.

    Args:
        config: the merged global config, for topic prefix and environment.
        i: the message's number in this process, from 1.
        topic: the last part of its topic.
        msg: what it says.
        modname: the part of the topic before it.

    Returns:
        The envelope, not signed.
    """
    topic = f"{modname}.{topic}"
    if not topic.startswith(config["topic_prefix"]):
        topic = f"{config['topic_prefix']}.{config['environment']}.{topic}"
    return {
        "topic": topic,
        "msg": msg,
        "timestamp": int(time.time()),
        "msg_id": f"{time.localtime().tm_year}-{_uuid4()}",
        "i": i,
        "username": _username(),
    }


def encode(wrapped: Json) -> tuple[bytes, bytes]:
    """Make the two frames of a message, byte for byte as stock fedmsg would.

    Args:
        wrapped: an envelope.

    Returns:
        Topic and body.

    Raises:
        NotWellFormedError: it cannot be encoded, or a relay would drop it.
    """
    with setting_up:
        from fedmsg_relay.message import fault  # noqa: PLC0415 -- after the connection has begun

    try:
        body = canonical(wrapped)
        topic = str(wrapped["topic"]).encode()
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # a hook may have taken the topic away
        raise NotWellFormedError(f"not well-formed, not sent: {error}") from error
    if b"\n" in topic:  # whether or not a relay would take it: a file in the spool cannot hold it
        raise NotWellFormedError("not well-formed, not sent: the topic has a newline")
    if reason := fault(topic, body):
        raise NotWellFormedError(f"not well-formed, not sent: {reason}")
    return topic, body


def canonical(value: Any) -> bytes:
    """Encode a value as stock fedmsg does: sorted keys, no white space, ASCII only.

    Args:
        value: what JSON can hold, or what stock's encoder makes JSON of.

    Returns:
        The JSON text: what is sent, and what signatures cover.

    Raises:
        TypeError: something in it has no form in JSON, or its keys cannot be sorted.
        ValueError: an integer has more digits than Python writes.
        RecursionError: it is nested too deep.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    """Convert an object that JSON has no form for, as stock's encoder does."""
    if hasattr(value, "__json__"):
        return value.__json__()
    if hasattr(value, "timetuple"):  # datetime and date
        return time.mktime(value.timetuple())
    if isinstance(value, time.struct_time):
        return time.mktime(value)
    if isinstance(value, set):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _uuid4() -> str:
    """A random UUID (RFC 9562); the uuid module costs a cold script more than the message does."""
    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    text = number.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _username() -> str:
    """Get the name of the user, as getpass.getuser does."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if name := os.environ.get(variable):
            return name
    with setting_up:
        import pwd  # noqa: PLC0415 -- seldom needed

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
