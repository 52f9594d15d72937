"""``/messages`` and ``/stream``: every message after a ``seq``, in JSON lines or as server-sent events that go on live.

Both read the journal, so history and live are one sequence without a seam. A message has the form of
:func:`~fedmsg_relay.web.messages.line`.

The numbers are those of one journal. A client that names the digest of the last message it has (``digest``) is told
(409) when that message does not have this number here: then the journal is another one, such as that of another relay.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Record, digest
from fedmsg_relay.web import answers, limits, query
from fedmsg_relay.web.history import History
from fedmsg_relay.web.large import Large
from fedmsg_relay.web.messages import line
from fedmsg_relay.web.site import Site

NEXT = "Fedmsg-Next"
"""Header of the answer: ``after`` of the next request."""

_EVENTS = 1000
"""Messages of a live stream that are looked for at once."""


class OtherNumbersError(Exception):
    """The numbers that the client has are not those of this journal."""

    def __init__(self, times: tuple[int, int] | None) -> None:
        super().__init__("this journal has no such message: its numbers are others, or it is gone")
        self.oldest = times[0] if times else None


@dataclass(frozen=True)
class Place:
    """Where to begin, and what to hand out.

    Attributes:
        after: begin after this ``seq``, or after the message with this ``msg_id``; None for now, or for ``since``.
        digest: of the message with that number, in hexadecimal digits; empty if it is not known.
        since: begin at this time, in Unix microseconds.
        topic: the beginning of the topics that are wanted.
        limit: maximum number of messages.
    """

    after: int | str | None
    digest: str
    since: int | None
    topic: bytes
    limit: int


@dataclass
class Part:
    """Messages to hand out.

    Attributes:
        last: the ``seq`` up to where was looked.
        numbers: the ``seq`` of each message.
    """

    last: int
    numbers: list[int] = field(default_factory=list)


async def history(request: Request) -> Response:
    """Answer with messages of the past, in JSON lines."""
    site: Site = request.app.state.site
    place = await _find(site, _read(request))

    def find(journal: History) -> Part:
        return _part(journal, _start(journal, place, 0), place, place.limit)

    part = await site.reader.look(find, bool(place.topic))

    async def lines() -> AsyncIterator[bytes]:
        async for message in site.reader.messages(part.numbers):
            async for text in line(message):
                yield text
            yield b"\n"

    return answers.stream(lines(), "application/jsonl", {NEXT: str(part.last)})


async def live(request: Request) -> Response:
    """Answer with messages as they come, as server-sent events."""
    site: Site = request.app.state.site
    place = await _find(site, _read(request))

    def begin(journal: History) -> int:
        ends = journal.ends()
        return _start(journal, place, ends[1] if ends else 0)

    start = await site.reader.look(begin)
    address = request.client.host if request.client else ""
    if site.streams.total() >= limits.STREAMS:
        raise JournalError("too many live streams at the moment: try again")
    if site.streams[address] >= limits.ADDRESS_STREAMS:
        raise JournalError(f"too many live streams of {address}: try again")
    return answers.events(_events(site, start, place, address))


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer a client whose numbers are of another journal; tell it how far back this one reaches."""
    assert isinstance(error, OtherNumbersError)  # noqa: S101 -- for the type checker
    oldest = None if error.oldest is None else error.oldest / 1e6
    return answers.answer({"error": str(error), "oldest": oldest}, 409)


async def _events(site: Site, start: int, place: Place, address: str) -> AsyncIterator[bytes]:
    at = start
    site.streams[address] += 1
    try:
        # So that a client that is cut off before the first message comes back here.
        yield await site.reader.look(partial(_place_event, seq=at))
        while not site.tip.ended:
            part = await site.reader.look(partial(_part, after=at, place=place, count=_EVENTS), bool(place.topic))
            if part.last < at:
                return  # another journal has taken its place: the client comes back and is told
            async for message in site.reader.messages(part.numbers):
                async for piece in answers.pieces(_event(message)):
                    yield piece
            if part.last > at:
                at = part.last
                if not part.numbers or part.numbers[-1] != at:
                    yield await site.reader.look(partial(_place_event, seq=at))
            elif not await site.tip.wait(at, limits.KEEP_ALIVE_SECONDS):
                yield b":\n\n"
    finally:
        site.streams[address] -= 1
        if not site.streams[address]:
            del site.streams[address]


async def _event(message: Record | Large) -> AsyncIterator[bytes]:
    yield b"id: %d\ndata: " % message.seq
    async for text in line(message):
        yield text
    yield b"\n\n"


def _place_event(journal: History, seq: int) -> bytes:
    """Tell a client that there is nothing for it up to a message."""
    known = journal.read([seq])
    place = {"seq": seq, "digest": digest(known[0].topic, known[0].body).hex() if known else ""}
    return b"event: place\nid: %d\ndata: %s\n\n" % (seq, json.dumps(place).encode())


async def _find(site: Site, place: Place) -> Place:
    """Find the number of the message that a client has had and names by its ``msg_id``."""
    name = place.after
    if not isinstance(name, str):
        return place
    seq = await site.reader.run(lambda: site.names.place(name, place.digest), bool(place.digest))
    if seq is None:
        raise OtherNumbersError(await site.reader.look(lambda journal: journal.times()))
    return replace(place, after=seq)


def _read(request: Request) -> Place:
    found = query.parameters(request.scope["query_string"], ["after", "digest", "since", "topic", "limit"])
    since = query.single(found, "since")
    after: int | str | None = query.single(found, "after")
    if after is not None and str(after).isdecimal():
        after = query.whole(found, "after", 0)
    if after is not None and since is not None:
        raise query.BadRequestError("after and since exclude each other")
    known = query.single(found, "digest") or ""
    seen = request.headers.get("Last-Event-ID", "")
    if seen.isascii() and seen.isdecimal() and len(seen) < 19:  # a client that comes back, by itself
        after, since, known = int(seen), None, ""  # the digest is that of the message with which it began
    return Place(
        after,
        known,
        None if since is None else int(query.moment(since, "since") * 1e6),
        (query.single(found, "topic") or "").encode(),
        query.whole(found, "limit", limits.LINES, lowest=1, highest=limits.LINES),
    )


def _start(journal: History, place: Place, default: int) -> int:
    """The ``seq`` after which to begin."""
    if place.since is not None:
        return journal.first_since(place.since) - 1
    if not isinstance(place.after, int):
        return default
    ends = journal.ends()
    if place.after > (ends[1] if ends else 0):
        raise OtherNumbersError(journal.times())
    if place.digest:
        known = journal.read([place.after])
        if not known or digest(known[0].topic, known[0].body).hex() != place.digest:
            raise OtherNumbersError(journal.times())
    return place.after


def _part(journal: History, after: int, place: Place, count: int) -> Part:
    """Find messages after a number, within the bounds of a search."""
    ends = journal.ends()
    part = Part(after if ends and ends[1] >= after else -1)
    until = time.monotonic() + limits.SCAN_SECONDS
    for scanned, row in enumerate(journal.rows(after + 1, 2**63 - 1), 1):
        part.last = row.seq
        if row.topic.startswith(place.topic):
            part.numbers.append(row.seq)
        if len(part.numbers) >= count or scanned >= limits.SCANNED_ROWS or time.monotonic() > until:
            break
    return part
