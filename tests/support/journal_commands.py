"""The output of `fedmsg-relay journal` for the journal of a bus."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from bus import Bus
from harness import Host, Ran
from messages import Message


def journal(host: Host, *arguments: str | Path) -> Ran:
    return host.run("fedmsg-relay", "journal", *arguments)


def lines_of_json(ran: Ran) -> list[Any]:
    assert (ran.code, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def last(bus: Bus) -> int:
    """The newest ``seq``, once everything is out."""
    bus.relay.settled()
    seq: int = bus.relay.status()["journal"]["last"]
    return seq


def send(bus: Bus, *messages: Message) -> None:
    bus.publisher.send_all(messages)
    bus.listener.expect(messages)


def send_one_by_one(bus: Bus, *messages: Message) -> None:
    """So that the journal has each in a block of its own."""
    for message in messages:
        send(bus, message)


def rows(host: Host, after: int) -> list[tuple[int, int, str | None, bytes, bytes]]:
    """The faults that SQLite itself finds."""
    with contextlib.closing(sqlite3.connect(f"file:{host.journal_file}?mode=ro", uri=True)) as db:
        query = "SELECT seq, time, msg_id, topic, body FROM message WHERE seq > ? ORDER BY seq"
        return db.execute(query, (after,)).fetchall()
