"""What a relay upstream answers, read as what it may be: anybody's bytes. What is sent stands in `submit.py`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fedmsg_relay.runtime import limits

_Count = Annotated[int, Meta(ge=0)]
_Identity = Annotated[str, Meta(max_length=limits.IDENTITY_CHARACTERS, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]


class Introduction(msgspec.Struct, tag_field="status", tag="relay"):
    """Who it is.

    Attributes:
        chain: identities of this relay, its upstream, and so on.
        complete: whether the last one of these publishes by itself.
        heard: whether it has our subscription.
    """

    chain: Annotated[list[_Identity], Meta(max_length=limits.CHAIN_RELAYS)]
    complete: bool
    heard: bool


class Receipt(msgspec.Struct, tag_field="status", tag="accepted"):
    """It has a batch on its disk.

    Attributes:
        seq: of the first and the last message, in its journal.
        duplicates: how many of the messages it had before.
    """

    seq: tuple[_Count, _Count]
    duplicates: _Count

    def fits(self, messages: int) -> bool:
        """Tell whether this can be the receipt of a batch.

        Args:
            messages: of the batch.
        """
        first, last = self.seq
        return 0 < self.duplicates <= messages or (self.duplicates == 0 and last - first + 1 == messages)


class Refused(msgspec.Struct, tag_field="status", tag="refused"):
    """It does not take a batch, now or later.

    Attributes:
        reason: a code.
    """

    reason: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,40}\Z")]


class Busy(msgspec.Struct, tag_field="status", tag="busy"):
    """It cannot take a batch now.

    Attributes:
        retry_after: seconds after which to try again.
    """

    retry_after: Annotated[float, Meta(ge=0)]


Answer = Introduction | Receipt | Refused | Busy

_DECODER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def read(data: bytes) -> Answer | None:
    """Read an answer.

    Args:
        data: JSON, if it is one.

    Returns:
        The answer; None where it is none.
    """
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
