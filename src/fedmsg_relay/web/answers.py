"""Answers to requests: JSON, errors, and streams of messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fedmsg_relay.errors import JournalError
from fedmsg_relay.web.query import BadRequestError

_PIECE = 64 * 1024
"""Bytes that are handed to a connection at once."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing of an answer is a page, whatever a browser takes it for."""


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON.

    Args:
        value: what JSON can hold.
        status: of HTTP.
        headers: besides the usual ones.
    """
    return exact(json.dumps(value).encode() + b"\n", status, headers)


def exact(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON text that is sent as it is; see :func:`answer`."""
    return Response(body, status, {**_HEADERS, **(headers or {})}, "application/json")


def text(body: bytes, media_type: str = "text/plain; charset=utf-8", status: int = 200) -> Response:
    """Answer with text.

    Args:
        body: the text.
        media_type: of the text.
        status: of HTTP.
    """
    return Response(body, status, {**_HEADERS, "Content-Type": media_type})


def stream(parts: AsyncIterator[bytes], media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with text that is made while it is sent.

    Args:
        parts: of the text.
        media_type: of the text.
        headers: besides the usual ones.
    """
    return StreamingResponse(pieces(parts), 200, {**_HEADERS, **(headers or {})}, media_type)


def events(parts: AsyncIterator[bytes]) -> Response:
    """Answer with server-sent events, each sent at once.

    Args:
        parts: the events, or pieces of large ones.
    """
    return StreamingResponse(parts, 200, _HEADERS, "text/event-stream")


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer a request that cannot be answered."""
    if isinstance(error, BadRequestError):
        return answer({"error": str(error)}, 400)
    if isinstance(error, JournalError):
        return answer({"error": str(error)}, 503, {"Retry-After": "10"})
    raise error


async def pieces(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small parts of a text and cut large ones, so that a client that does not read costs one piece.

    Args:
        parts: of the text.

    Yields:
        Pieces that are to be sent at once.
    """
    waiting = bytearray()
    async for part in parts:
        waiting += part
        while len(waiting) >= _PIECE:
            yield bytes(waiting[:_PIECE])
            del waiting[:_PIECE]
    if waiting:
        yield bytes(waiting)
