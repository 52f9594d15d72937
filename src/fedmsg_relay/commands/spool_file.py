"""Reads a file of the spool as the message that is in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fedmsg_relay import spool
from fedmsg_relay.envelope import Json, encode, envelope
from fedmsg_relay.message import fault


def read_message(config: Mapping[str, Any], content: bytes, sign: Callable[[Json], Json]) -> tuple[bytes, bytes]:
    """Read a message. A script has signed its own already, where it was to be signed; the shell's is signed here.

    Args:
        config: the merged global config.
        content: of the file.
        sign: signs a message.

    Returns:
        Topic and body.

    Raises:
        ValueError: it is not a message, or not one that a relay takes.
    """
    if not content.startswith(spool.HEADER):
        raise ValueError("it is not a file of a spool")
    kind, _, rest = content[len(spool.HEADER) :].partition(b"\n")
    if kind == b"message":
        return _from_script(rest)
    if kind == b"msg":
        return _from_shell(config, rest, sign)
    raise ValueError("this version does not know this kind of file")


def _from_script(rest: bytes) -> tuple[bytes, bytes]:
    topic, newline, body = rest.partition(b"\n")
    if not newline:
        raise ValueError("it has no body")
    if reason := fault(topic, body):
        raise ValueError(reason)
    return topic, body


def _from_shell(config: Mapping[str, Any], rest: bytes, sign: Callable[[Json], Json]) -> tuple[bytes, bytes]:
    fields = rest.split(b"\n", 5)
    if len(fields) != 6:
        raise ValueError("it has too few lines")
    modname, name, timestamp, msg_id, username = (field.decode() for field in fields[:5])
    if reason := fault(b"", fields[5]):
        raise ValueError(f"msg: {reason}")
    wrapped = envelope(config, 1, name, None, modname)
    wrapped.update(timestamp=int(timestamp), msg_id=msg_id, username=username)
    if config.get("sign_messages"):
        try:
            wrapped["msg"] = json.loads(fields[5].decode())
        except RecursionError:
            raise ValueError("msg: too-deep") from None
        return encode(sign(wrapped))
    topic, body = encode(wrapped)
    # As it is: to make objects of it may take 60 times its size.
    body = body.replace(b'"msg":null', b'"msg":' + fields[5].strip(), 1)
    if reason := fault(topic, body):
        raise ValueError(reason)
    return topic, body
