"""``/raw`` and ``/id``: history for stock consumers, as datagrepper answers them.

Every message is its body, byte for byte: nothing is added to it and nothing is encoded again, so signatures hold.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import answers, limits, query
from fedmsg_relay.web.messages import body, is_envelope
from fedmsg_relay.web.reader import Reader
from fedmsg_relay.web.search import Found, search
from fedmsg_relay.web.site import Site


async def raw(request: Request) -> Response:
    """Answer a search."""
    site: Site = request.app.state.site
    wanted = query.read(request.scope["query_string"])
    found = await site.reader.look(lambda journal: search(journal, wanted), wanted.selects)
    return answers.stream(_page(site.reader, wanted, found), "application/json")


async def by_id(request: Request) -> Response:
    """Answer with the message that has a ``msg_id``."""
    site: Site = request.app.state.site
    msg_id = query.msg_id(request.scope["query_string"])
    found = await site.reader.run(lambda: _small(site.names.find(msg_id)))
    if found is None:
        return answers.answer({"error": "not_found"}, 404)
    seq, small = found
    return answers.exact(small) if small is not None else answers.stream(_body(site.reader, seq), "application/json")


def _small(record: Record | None) -> tuple[int, bytes | None] | None:
    """Keep a body only if it is small: very many requests may hold one."""
    return record and (record.seq, record.body if len(record.body) <= limits.CHUNK_BYTES else None)


async def _body(reader: Reader, seq: int) -> AsyncIterator[bytes]:
    async for message in reader.messages([seq]):
        async for part in body(message):
            yield part


async def _page(reader: Reader, wanted: query.Query, found: Found) -> AsyncIterator[bytes]:
    """Write the answer to a search. A message without an envelope would break a stock consumer, and is left out."""
    yield b'{"raw_messages": ['
    count = 0
    async for message in reader.messages(found.numbers, lambda record: is_envelope(record.body)):
        yield b", " if count else b""
        async for part in body(message):
            yield part
        count += 1
    rest = {
        "count": count,
        "total": found.total,
        "pages": found.pages(wanted.rows),
        "arguments": wanted.arguments,
    }
    if found.resume is not None:
        # The search was not finished: the same with one more parameter goes on with it.
        rest["complete"] = False
        rest["continue"] = {"before" if wanted.descending else "after": found.resume}
    yield b"], " + json.dumps(rest).encode()[1:] + b"\n"
