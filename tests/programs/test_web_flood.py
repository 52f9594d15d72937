"""Clients that read as fast as they can: the relay goes on, and its WAL does not grow without end."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fedmsg_relay.web import limits
from served import Web
from wire import Bus, Message, envelope

CLIENTS = 40
SECONDS = 5.0
PATHS = ("/raw?rows_per_page=100", "/messages?limit=500", "/raw?topic=none", "/id?id=none", "/metrics", "/")


def test_a_flood_of_readers_holds_nothing_up(bus: Bus) -> None:
    wal = Path(f"{bus.host.journal_file}-wal")
    ended = threading.Event()
    with contextlib.closing(Web(bus.host)) as web, ThreadPoolExecutor(CLIENTS) as clients:
        web.start()

        def read(client: int) -> int:
            answers = 0
            while not ended.is_set():
                answers += web.get(PATHS[(client + answers) % len(PATHS)]).code in {200, 404, 503}
            return answers

        reading = [clients.submit(read, client) for client in range(CLIENTS)]
        try:
            sent: list[Message] = []
            largest = 0
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                batch = [envelope("org.example.flood", len(sent) + n) for n in range(60)]
                bus.publisher.send_all(batch)
                sent += batch
                bus.listener.hear(0.02)
                largest = max(largest, wal.stat().st_size)
        finally:
            ended.set()
        assert sum(one.result() for one in reading) >= CLIENTS
        assert web.get("/live").code == 200
    bus.listener.wait_for(sent[-1])
    counts = bus.relay.settled()
    assert counts["published"] >= len(sent)
    assert largest < 2 * limits.WAL_BYTES
