"""Serves the web application at its addresses."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from fedmsg_relay.errors import RelayError
from fedmsg_relay.network import listening
from fedmsg_relay.runtime import process
from fedmsg_relay.runtime.systemd import Notifier
from fedmsg_relay.web import app, limits
from fedmsg_relay.web.connections import Connection
from fedmsg_relay.web.signature import Signatures
from fedmsg_relay.web.site import Site


class _Server(uvicorn.Server):
    """Tells systemd when it serves, and live streams when it stops."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._notifier = Notifier()
        self._site = site

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        if self.started:
            self._notifier.tell(READY="1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End live streams, which would not end by themselves, and stop."""
        self._site.end()
        await super().shutdown(sockets)


def serve(addresses: Sequence[str], journal: Path, signatures: Signatures, keep_days: float) -> None:
    """Serve until a signal ends it.

    Args:
        addresses: where, as ``tcp://HOST:PORT``.
        journal: path of ``journal.db``.
        signatures: checks signatures.
        keep_days: how long the journal keeps messages.

    Raises:
        RelayError: an address cannot be bound.
    """
    process.rename("fedmsg-web")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn ends at it, and then gives it back
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # What clients do wrong is not for the log: anybody could fill it.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    doors: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                doors.append(listening.listen(address))
            except OSError as error:
                raise RelayError(f"cannot listen at {address}: {error.strerror or error}") from error
        asyncio.run(_serve(doors, Site(journal, signatures, keep_days)))
    finally:
        for door, address in zip(doors, addresses, strict=False):
            listening.close(door, address)


async def _serve(doors: list[socket.socket], site: Site) -> None:
    config = uvicorn.Config(
        app.make(site),
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.CONNECTIONS,
        timeout_keep_alive=int(limits.REQUEST_SECONDS),
        timeout_graceful_shutdown=limits.STOP_SECONDS,
        h11_max_incomplete_event_size=limits.REQUEST_BYTES,
    )
    await _Server(config, site).serve(doors)
