"""Bounds on the connections of the web server: how many, how long a request may take, and clients that do not read."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from fedmsg_relay.web import limits

_held: Counter[str] = Counter()
"""Number of connections of each IP address."""


class Connection(H11Protocol):
    """A client's connection, as uvicorn serves it, within bounds."""

    _address = ""
    _request: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take the connection, or close it where its address has too many."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        _held[self._address] += 1
        if _held[self._address] > limits.ADDRESS_CONNECTIONS or len(self.connections) > 2 * limits.CONNECTIONS:
            transport.abort()
            return
        self._request = self.loop.call_later(limits.REQUEST_SECONDS, self._abort_without_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        _held[self._address] -= 1
        if not _held[self._address]:
            del _held[self._address]
        for timer in (self._request, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self._request:
            self._request.cancel()
        self._request = self.loop.call_later(limits.REQUEST_SECONDS, self._abort_without_request)

    def pause_writing(self) -> None:
        """The client does not read: give it some time."""
        super().pause_writing()
        self._unread = self.loop.call_later(limits.UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._unread:
            self._unread.cancel()
        super().resume_writing()

    def _abort_without_request(self) -> None:
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.abort()
