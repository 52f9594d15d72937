"""``/trace``: what this relay knows of one message: its journal, its quarantine, and where it goes from here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from fedmsg_relay import submit
from fedmsg_relay.errors import JournalError, printable
from fedmsg_relay.journal.quarantine import AT_SUBMIT
from fedmsg_relay.trust import reasons as trust
from fedmsg_relay.web import answers, limits, messages, query, view

if TYPE_CHECKING:
    from fedmsg_relay.web.history import Dropped, History
    from fedmsg_relay.web.site import Site


async def trace(request: Request) -> Response:
    """Answer where the message with a ``msg_id`` is."""
    site: Site = request.app.state.site
    msg_id = query.msg_id(request.scope["query_string"])
    found: dict[str, Any] = {
        "journal": await _journaled(site, msg_id),
        "quarantine": await site.reader.look(lambda journal: quarantined(journal, msg_id), search=True),
    }
    condition = await site.watch.look()
    upstream = condition.status["upstream"] if condition.status else None
    links = zip(upstream["submit"], upstream["states"], strict=True) if upstream else ()
    found["upstream"] = [{"submit": submit, "state": state} for submit, state in links]
    found["relay"] = condition.line
    return answers.answer(found)


async def _journaled(site: Site, msg_id: str) -> dict[str, Any] | None:
    """Tell what the journal knows of a message."""
    found = await site.reader.run(lambda: _about(site, msg_id))
    if found is not None:
        published = await site.reader.look(lambda journal: journal.published(found["seq"]))
        found["published"] = published is not None
        found["published_by"] = published.by / 1e6 if published and published.by else None
    return found


def _about(site: Site, msg_id: str) -> dict[str, Any] | None:
    """Tell it in the thread that reads the message: very many requests may hold what is returned."""
    record = site.names.find(msg_id)
    if record is None:
        return None
    signature = site.signatures.state(record.topic, record.body)
    return {
        "seq": record.seq,
        "time": record.time / 1e6,
        "first_time": _first_time(site, msg_id),
        "topic": view.beginning(record.topic).decode(errors="backslashreplace"),
        "bytes": len(record.body),
        "signature": signature.text,
        "signer": signature.signer,
        "username": messages.username(record.body),
    }


def _first_time(site: Site, msg_id: str) -> float | None:
    """Tell when the oldest message with a name was journaled; None while that cannot be told."""
    with contextlib.suppress(JournalError):
        seq = site.names.place(msg_id)
        if seq is not None:
            with site.source.opened() as journal:
                return next((row.time / 1e6 for row in journal.rows(seq, seq)), None)
    return None


def _way(one: Dropped) -> str:
    """The endpoint at which a message was dropped; empty where the quarantine does not tell."""
    if one.source.endswith(AT_SUBMIT) or one.reason in set(submit.Refusal):
        return "submit"
    return "inbound" if one.reason in set(trust.Reason) else ""


def quarantined(journal: History, msg_id: str) -> list[dict[str, Any]]:
    """Find a name in what was dropped: such a message may have no envelope, so its text is searched.

    Args:
        journal: whose quarantine is searched.
        msg_id: the name.

    Returns:
        What a trace tells of each, the newest first.
    """
    return [
        {
            "time": one.time / 1e6,
            "reason": printable(one.reason),
            "source": printable(one.source.removesuffix(AT_SUBMIT)),
            "via": _way(one),
            "topic": view.clean(view.beginning(one.topic)),
        }
        for one in journal.dropped(query.forms(msg_id), limits.SHOWN_DROPPED)
    ]
