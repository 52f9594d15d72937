"""Clients that read as fast as they can: the relay goes on, and its WAL does not grow without end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bus import Bus
from fedmsg_relay.web import limits
from harness import Host, wait_until
from messages import Message, envelope
from served import Web, fill, peak_bytes

CLIENTS = 40
SECONDS = 5.0
LARGE, LARGE_BYTES = 32, 10_000_000
TOPIC_BYTES = 4_000_000
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


def test_large_messages_under_one_name_cost_bounded_memory(bus: Bus) -> None:
    """Anybody may publish them, and anybody may ask for them; a client need not read the answer."""
    topic, name = "org.example.flood.large", "2026-large"
    for number in range(LARGE):
        body = {"topic": topic, "msg_id": name, "timestamp": number, "msg": "x" * LARGE_BYTES}
        bus.publisher.send(topic.encode(), json.dumps(body).encode())
    wait_until(lambda: bus.relay.messages()["published"] >= LARGE, "all are published")
    with contextlib.closing(Web(bus.host)) as web, contextlib.ExitStack() as unread, ThreadPoolExecutor(16) as clients:
        web.start()
        wait_until(lambda: web.get("/id", {"id": name}).code == 200, "the message is found")
        for _ in range(16):
            unread.enter_context(web.asked("/id", {"id": name}))
        asked = [clients.submit(web.get, path, {"id": name}) for path in ("/trace", "/search") for _ in range(16)]
        assert {one.result().code for one in asked} <= {200, 303, 503}
        assert peak_bytes(web) < LARGE * LARGE_BYTES, "of the messages of one name only a few are in memory"


def test_long_topics_cost_bounded_memory(host: Host) -> None:
    """Each may be as long as a message, and lists of messages have very many of them."""
    topic, body = b"t" * TOPIC_BYTES, json.dumps({"topic": "t", "msg_id": "2026-long", "timestamp": 1}).encode()
    fill(host, [(topic, body)] * LARGE)
    with contextlib.closing(Web(host)) as web:
        web.start()
        wait_until(lambda: web.get("/id", {"id": "2026-long"}).code == 200, "the message is found")
        before = peak_bytes(web)
        for path in ("/", "/search", "/message/1", "/raw?topic=none", "/messages?topic=none", "/trace?id=2026-long"):
            answer = web.get(path)
            assert answer.code == 200, path
            assert len(answer.body) < TOPIC_BYTES, path
        assert peak_bytes(web) < before + 16 * TOPIC_BYTES, "only a few of them are in memory"


def test_clients_that_do_not_read_hold_up_nobody(host: Host) -> None:
    """Of a small message nor of a large one, whatever they ask for; and they cost little memory."""
    large = {"topic": "t", "msg_id": "2026-large", "timestamp": 1, "msg": "x" * LARGE_BYTES}
    bodies = [json.dumps(large).encode(), b'{"topic":"t","msg_id":"2026-small","timestamp":1}']
    fill(host, [(b"t", body) for body in bodies])
    with contextlib.closing(Web(host)) as web, contextlib.ExitStack() as unread:
        web.start()
        wait_until(lambda: web.get("/id", {"id": "2026-large"}).code == 200, "the message is found")
        for client in range(CLIENTS):
            path = ("/messages", "/stream?after=0", "/raw?order=asc", "/id?id=2026-large")[client % 4]
            unread.enter_context(web.asked(path))
        # Otherwise these would wait until the others are cut, a few at a time.
        assert [json.loads(line)["body"].encode() for line in web.get("/messages").body.splitlines()] == bodies
        with web.asked("/stream", {"after": 0}) as stream:
            events = [stream.readline() for _ in range(4 + 3 + 1)]
        assert events[-1] == b"id: 2\n"
        assert web.get("/id", {"id": "2026-large"}).body == bodies[0]
        assert peak_bytes(web) < CLIENTS * LARGE_BYTES
