"""The events of a relay's stream, read and checked: any program may answer at the address of a web process."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE

MAX_EVENT_BYTES = 16 * DEFAULT_MAX_MESSAGE_SIZE
"""Maximum size of an event. JSON writes a character of a message in six bytes at most."""

_CALENDAR_END = 253_402_300_799  # of the year 9999, and a second less to round

Moment = Annotated[float, msgspec.Meta(ge=0, lt=_CALENDAR_END)]
"""Unix seconds that can be shown as a date."""


class NotOursError(Exception):
    """The answer is not that of a web process of fedmsg-relay."""


class Message(NamedTuple):
    """A message as the relay has journaled it.

    Attributes:
        seq: its number in that relay's journal.
        time: when it was journaled, in Unix seconds.
        msg_id: of the envelope, if it has one.
        topic: first frame.
        text: second frame: the exact text of the body.
    """

    seq: int
    time: float
    msg_id: str | None
    topic: str
    text: str

    @property
    def body(self) -> Any:
        """The body as Python has it: normally the envelope, a dict."""
        return json.loads(self.text)

    def digest(self) -> bytes:
        """Make the digest of topic and body, as the journal has it."""
        topic = self.topic.encode()
        made = hashlib.blake2b(len(topic).to_bytes(8, "big"), digest_size=16)
        made.update(topic)
        made.update(self.text.encode())
        return made.digest()


class Place(msgspec.Struct):
    """Up to here nothing is wanted.

    Attributes:
        seq: number of the last message.
        digest: of that message, in hexadecimal digits; empty if there is none.
    """

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    digest: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")]


class _Told(msgspec.Struct):
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    time: Moment
    msg_id: str | None
    topic: str
    body: str


Kind = TypeVar("Kind")


def read(data: bytes, kind: type[Kind]) -> Kind:
    """Read JSON of a web process.

    Args:
        data: what was sent.
        kind: what it has to be.

    Returns:
        What it says.

    Raises:
        NotOursError: it is something else.
    """
    try:
        told = json.loads(data)  # which also takes half a surrogate pair, as a msg_id may have it
    except (ValueError, RecursionError) as error:
        raise NotOursError(str(error)) from error
    return convert(told, kind)


def convert(told: object, kind: type[Kind]) -> Kind:
    """Check what JSON says.

    Args:
        told: what was sent.
        kind: what it has to be.

    Returns:
        The same as that.

    Raises:
        NotOursError: it is something else.
    """
    try:
        return msgspec.convert(told, kind)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise NotOursError(str(error)) from error


def message(data: bytes) -> Message:
    """Read the event of a message.

    Args:
        data: what was sent.

    Returns:
        The message.

    Raises:
        NotOursError: it is something else.
    """
    told = read(data, _Told)
    try:
        told.topic.encode()
        told.body.encode()
    except UnicodeEncodeError as error:
        raise NotOursError(str(error)) from error
    return Message(told.seq, told.time, told.msg_id, told.topic, told.body)
