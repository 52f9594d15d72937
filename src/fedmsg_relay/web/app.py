"""The web application: which path is answered by what."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fedmsg_relay.errors import JournalError
from fedmsg_relay.web import answers, datagrepper, limits, listen, metrics, page, probes, trace
from fedmsg_relay.web.listen import OtherNumbersError
from fedmsg_relay.web.query import BadRequestError
from fedmsg_relay.web.site import Site

_log = logging.getLogger("fedmsg-web")

LIVE = ("/stream",)
"""Paths whose answers do not end."""


def make(site: Site) -> ASGIApp:
    """Make the application.

    Args:
        site: the journal and the relay.
    """

    @contextlib.asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        site.begin()
        yield

    search = [Route(path, datagrepper.raw) for path in ("/raw", "/v2/search")]
    lookup = [Route(path, datagrepper.by_id) for path in ("/id", "/v2/id", "/raw/id")]
    stream = [Route("/messages", listen.history), Route("/stream", listen.live)]
    watch = [
        Route("/metrics", metrics.metrics),
        Route("/live", probes.live),
        Route("/ready", probes.ready),
        Route("/trace", trace.trace),
    ]
    pages = [
        Route("/", page.home),
        Route("/now", page.now),
        Route("/search", page.find),
        Route("/message/{seq}", page.message),
        Route("/static/{name}", page.static),
    ]
    handlers = {
        BadRequestError: answers.refuse,
        JournalError: answers.refuse,
        OtherNumbersError: listen.refuse,
        HTTPException: _http_error,
    }
    app = Starlette(routes=[*search, *lookup, *stream, *watch, *pages], exception_handlers=handlers, lifespan=life)
    app.state.site = site
    return _within_time(app)


async def _http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return answers.answer({"error": error.detail}, error.status_code, error.headers)


def _within_time(app: ASGIApp) -> ASGIApp:
    """Cut answers that take too long, and those amid which the journal could not be read any more."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        live = scope["type"] != "http" or scope["path"] in LIVE
        try:
            async with asyncio.timeout(None if live else limits.ANSWER_SECONDS):
                await app(scope, receive, send)
        except TimeoutError:
            _log.error("an answer took more than %g s and is cut", limits.ANSWER_SECONDS)
        except Exception as error:
            if not (fault := _journal_error(error)):
                raise
            _log.error("an answer is cut: %s", fault)

    return bounded


def _journal_error(error: BaseException | None) -> JournalError | None:
    """Find a fault of the journal among what an exception comes from."""
    if error is None or isinstance(error, JournalError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else (error.__cause__ or error.__context__,)
    return next(filter(None, map(_journal_error, inner)), None)
