"""Answers of a relay upstream to the batches and inquiries that this relay submits there, read and checked.

The bytes may come from anybody, so nothing of them is trusted. Requests: :mod:`fedmsg_relay.submit`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fedmsg_relay.runtime import limits

_Count = Annotated[int, Meta(ge=0)]
_Identity = Annotated[str, Meta(max_length=limits.IDENTITY_CHARACTERS, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]


class Introduction(msgspec.Struct, tag_field="status", tag="relay"):
    """The answer to an inquiry: which relay it is.

    Attributes:
        chain: identities of that relay, its upstream, and so on.
        complete: whether the last relay of the chain publishes by itself.
        heard: whether that relay has our subscription.
    """

    chain: Annotated[list[_Identity], Meta(max_length=limits.CHAIN_RELAYS)]
    complete: bool
    heard: bool


class Receipt(msgspec.Struct, tag_field="status", tag="accepted"):
    """The upstream has a batch on its disk.

    Attributes:
        seq: of the first and the last message, in the upstream's journal.
        duplicates: number of messages of the batch that were in it before.
    """

    seq: tuple[_Count, _Count]
    duplicates: _Count

    def fits(self, messages: int) -> bool:
        """Tell whether this can be the receipt of a batch.

        Args:
            messages: number of messages in the batch.
        """
        first, last = self.seq
        return 0 < self.duplicates <= messages or (self.duplicates == 0 and last - first + 1 == messages)


class Refused(msgspec.Struct, tag_field="status", tag="refused"):
    """The upstream does not take a batch, now or later.

    Attributes:
        reason: a code.
    """

    reason: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,40}\Z")]


class Busy(msgspec.Struct, tag_field="status", tag="busy"):
    """The upstream cannot take a batch now.

    Attributes:
        retry_after: seconds after which to try again.
    """

    retry_after: Annotated[float, Meta(ge=0)]


Answer = Introduction | Receipt | Refused | Busy

_DECODER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def read(data: bytes) -> Answer | None:
    """Read an answer.

    Args:
        data: the last frame of a reply.

    Returns:
        The answer; None where the data are not an answer.
    """
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
