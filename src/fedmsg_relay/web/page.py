"""The page: whether the bus is well, messages by topic, time and ``msg_id``, and one message in full.

It is rendered here, in full; the script adds only what comes live. Text of messages and peers goes through the
template's escaping, and the browser is told to run nothing but the page's own script.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from fedmsg_relay.errors import JournalError, printable
from fedmsg_relay.web import answers, bridge, limits, messages, query, trace, view
from fedmsg_relay.web.rates import Rates, measure
from fedmsg_relay.web.search import search
from fedmsg_relay.web.signature import State

if TYPE_CHECKING:
    from fedmsg_relay.web.history import History
    from fedmsg_relay.web.site import Site

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STATIC = Path(__file__).parent / "static"
_FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

_templates = Environment(loader=PackageLoader("fedmsg_relay.web"), autoescape=True, undefined=StrictUndefined)
_templates.filters |= {"duration": view.duration, "size": view.size, "when": lambda seconds: view.when(seconds * 1e6)}


async def home(request: Request) -> Response:
    """Answer with how the bus is."""
    site: Site = request.app.state.site
    condition = await site.watch.look()
    rates: list[Rates] = []
    newest: list[view.Line] = []
    fault = ""
    try:
        rates, newest, times = await site.reader.look(_overview)
    except JournalError as error:
        fault, times = str(error), None
    return _page(
        "home.html",
        condition=condition,
        status=condition.status,
        rates=rates,
        newest=newest,
        times=times,
        fault=fault,
        disk=_disk(site.source.path),
        bridge=await bridge.look(site),
        now=time.time(),
        most=limits.SHOWN_PEERS,
    )


async def now(request: Request) -> Response:
    """Answer with the state of the relay, for the page's script."""
    site: Site = request.app.state.site
    condition = await site.watch.look()
    return answers.answer({"code": condition.code, "line": condition.line})


async def find(request: Request) -> Response:
    """Answer with the messages that a form asks for."""
    site: Site = request.app.state.site
    names = ("topic", "start", "end", "id", "before")
    asked = {name: request.query_params.get(name, "").strip() for name in names}
    if asked["id"]:
        return await _by_id(site, asked)
    wanted = {name: asked[name] for name in ("topic", "start", "end", "before") if asked[name]}
    if "end" in wanted and "start" not in wanted:
        wanted["start"] = "0"
    try:
        search_for = query.read(urlencode({**wanted, "rows_per_page": limits.SHOWN_ROWS}).encode())
        found, lines = await site.reader.look(lambda journal: _search(journal, search_for), search_for.selects)
    except (query.BadRequestError, JournalError) as error:
        code = 400 if isinstance(error, query.BadRequestError) else 503
        return _page("search.html", code, asked=asked, lines=[], fault=str(error), more="", found=None)
    more = {**wanted, "before": found.resume or (lines[-1].seq if len(lines) == limits.SHOWN_ROWS else 0)}
    link = f"/search?{urlencode(more)}" if more["before"] else ""
    return _page("search.html", asked=asked, lines=lines, fault="", more=link, found=found)


async def message(request: Request) -> Response:
    """Answer with one message."""
    site: Site = request.app.state.site
    number: str = request.path_params["seq"]
    seq = int(number) if number.isascii() and number.isdecimal() and len(number) < 19 else -1
    asked = dict.fromkeys(("topic", "start", "end", "id"), "")

    def show(journal: History) -> tuple[view.Shown, str, State] | None:
        # All of it in the thread: very many requests may hold what is returned.
        for record in journal.read([seq]):
            state = site.signatures.state(record.topic, record.body)
            return view.shown(record), printable(messages.username(record.body)), state
        return None

    try:
        found = await site.reader.look(show)
    except JournalError as error:
        return _page("search.html", 503, asked=asked, lines=[], fault=str(error), more="", found=None)
    if not found:
        text = f"The journal has no message {number[:19]}, or it is damaged."
        return _page("search.html", 404, asked=asked, lines=[], fault=text, more="", found=None)
    shown, username, state = found
    try:
        published = view.published(await site.reader.look(lambda journal: journal.published(seq)))
    except JournalError:
        published = "unknown"
    return _page("message.html", message=shown, username=username, signature=state, published=published)


async def static(request: Request) -> Response:
    """Answer with the style or the script of the page."""
    name = request.path_params["name"]
    if name not in _FILES:
        return Response(status_code=404)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(_STATIC / name, media_type=_FILES[name], headers=headers)


async def _by_id(site: Site, asked: dict[str, str]) -> Response:
    try:
        seq = await site.reader.run(lambda: site.names.number(asked["id"]))
        dropped = []
        if seq is None:
            dropped = await site.reader.look(lambda journal: trace.quarantined(journal, asked["id"]), search=True)
    except JournalError as error:
        return _page("search.html", 503, asked=asked, lines=[], fault=str(error), more="", found=None)
    if seq is None:
        text = "The journal has no message with this msg_id."
        code = 200 if dropped else 404
        return _page("search.html", code, asked=asked, lines=[], fault=text, more="", found=None, dropped=dropped)
    return RedirectResponse(f"/message/{seq}", 303, _HEADERS)


def _overview(journal: History) -> tuple[list[Rates], list[view.Line], tuple[float, float] | None]:
    ends = journal.ends()
    newest = []
    if ends:
        for row in journal.rows(ends[0], ends[1], descending=True):
            newest.append(view.line(row))
            if len(newest) == limits.SHOWN_NEWEST:
                break
    times = journal.times()
    return measure(journal), newest, times and (times[0] / 1e6, times[1] / 1e6)


def _search(journal: History, wanted: query.Query) -> tuple[Any, list[view.Line]]:
    found = search(journal, wanted)
    return found, [view.line(row) for seq in found.numbers for row in journal.rows(seq, seq)]


def _disk(journal: Path) -> tuple[int, int] | None:
    """Free and all bytes of the journal's disk."""
    try:
        usage = shutil.disk_usage(journal.parent)
    except OSError:
        return None
    return usage.free, usage.total


def _page(template: str, code: int = 200, **values: Any) -> Response:
    text = _templates.get_template(template).render(**values)
    return Response(text, code, _HEADERS, "text/html; charset=utf-8")
