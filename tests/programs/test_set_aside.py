"""A journal that cannot be read is set aside: the relay goes on, with what can still be read and with the numbers."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus import StartBus, join
from fedmsg_relay.journal import block
from harness import Host, wait_until
from journaled import take_back
from messages import compare, envelope, numbered
from relays import Relay, wait_longer
from wire import Sockets, accepted

A_PAGE = 8 * block.MESSAGES
"""Messages that a page costs which cannot be read, where they were journaled under load."""


def test_a_journal_of_garbage_is_set_aside_once_and_the_relay_runs(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    garbage = bytes(range(256)) * 100
    host.journal_file.write_bytes(garbage)
    bus = start_bus()
    pid = bus.relay.pid
    client = bus.sockets.submitter(host.submit)
    assert client.ask(*numbered(3))["status"] == "accepted"
    bus.listener.expect(numbered(3))
    (aside,) = host.journal_file.parent.glob("journal.db.corrupt-*")
    assert aside.read_bytes() == garbage
    ran = host.run("fedmsg-relay", "status")
    assert ran.code == 1
    assert ran.stdout.startswith(f"WARNING - a journal that could not be read was set aside as {aside}")
    assert bus.relay.log_lines(" ERROR ", str(aside))
    assert bus.relay.pid == pid
    assert bus.relay.running.alive()

    bus.relay.stop()
    bus.relay.start()
    assert [*host.journal_file.parent.glob("journal.db.corrupt-*")] == [aside]
    assert client.ask(*numbered(3))["duplicates"] == 3
    wait_until(lambda: host.run("fedmsg-relay", "status").code == 0, "the listener is back and all is well")


def ruin_a_page(path: Path, of: bytes) -> None:
    """Overwrite the page that holds these bytes."""
    content = path.read_bytes()
    at = content.index(of) // 16384 * 16384
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 16384)


def test_readable_messages_of_a_journal_with_a_bad_page_go_out(host: Host, relay: Relay, sockets: Sockets) -> None:
    host.configure_submit()
    relay.start()
    client = sockets.submitter(host.submit)
    sent = [envelope("org.example.test.numbered", n, filler="x" * 500) for n in range(3000)]
    for start in range(0, 3000, 1000):
        assert client.ask(*sent[start : start + 1000])["status"] == "accepted"
    relay.stop()
    take_back(host.journal_file, 1000, ["127.0.0.1"])
    ruin_a_page(host.journal_file, sent[2000][1])

    listener = sockets.listener(host.outbound)
    relay.start()
    heard = listener.wait_for(sent[-1])
    lost = [message for message in sent[1000:] if message not in heard]
    whole = [message for message in sent[1000:] if message not in lost]
    compare(heard, whole)
    assert sent[2000] in lost
    assert len(lost) <= A_PAGE
    counts = relay.settled()
    assert (counts["carried"], counts["published"], counts["damaged"]) == (2000, 2000 - len(lost), len(lost))
    assert relay.log_lines(" ERROR ", f"of 2000 messages that waited in it {2000 - len(lost)} can be read")

    # Clients without a receipt submit them again, and they are accepted; the others are known.
    client = sockets.submitter(host.submit)
    assert client.ask(*lost) == accepted(3001, 3000 + len(lost))
    listener.wait_for(lost[-1])
    assert client.ask(*whole[:5])["duplicates"] == 5


def export(host: Host, after: int) -> list[dict[str, Any]]:
    ran = host.run("fedmsg-relay", "journal", "export", "--after", str(after))
    assert (ran.code, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def ruin_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(4096))


def ruin_the_tables(path: Path) -> None:
    """The table of the notes is not a table of this journal any more."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE TUBLE"))


@pytest.mark.parametrize("ruin", [ruin_the_header, ruin_the_tables])
def test_no_seq_is_used_twice_though_the_last_one_is_unknown(
    host: Host, relay: Relay, sockets: Sockets, ruin: Callable[[Path], None]
) -> None:
    host.configure_submit()
    relay.start()
    client = sockets.submitter(host.submit)
    old = [envelope("org.example.test.numbered", n, filler="x" * 500) for n in range(1000)]
    assert client.ask(*old) == accepted(1, 1000)
    relay.settled()
    relay.stop()
    ruin(host.journal_file)

    before = time.time_ns() // 1000
    relay.start()
    client, listener = sockets.submitter(host.submit), sockets.listener(host.outbound)
    join(sockets.publisher(host.inbound), listener)
    new = numbered(3, start=1000)
    answer = client.ask(*new)
    first, last = answer["seq"]
    assert answer == accepted(first, first + 2)
    assert before < first < time.time_ns() // 1000
    listener.expect(new)
    counts = relay.settled()
    assert (counts["carried"], counts["damaged"]) == (0, 0)
    relay.wait_for_log(" ERROR ", "it is not known how many messages waited in it; 0 can be read, from seq ")
    exported = export(host, after=1000)
    assert [(e["topic"].encode(), e["body"].encode()) for e in exported][-3:] == new
    assert exported[-3]["seq"] == first
    assert host.run("fedmsg-relay", "journal", "check").code == 0

    relay.stop()
    relay.start()
    client = sockets.submitter(host.submit)
    assert client.ask(*new) == accepted(first, last, duplicates=3)
    assert client.ask(*numbered(1, start=1003)) == accepted(last + 1, last + 1)
    counts = relay.settled()
    assert (counts["carried"], counts["damaged"]) == (0, 0)


def test_readable_messages_go_out_though_the_newest_cannot_be_read(host: Host, relay: Relay, sockets: Sockets) -> None:
    host.configure_submit()
    relay.start()
    client = sockets.submitter(host.submit)
    old = [envelope("org.example.test.numbered", n, filler="x" * 500) for n in range(1000)]
    assert client.ask(*old) == accepted(1, 1000)
    relay.settled()
    relay.stop()
    take_back(host.journal_file, 500, ["127.0.0.1"])
    ruin_a_page(host.journal_file, b'["2026-numbered-950",')  # where the last block begins

    listener = sockets.listener(host.outbound)
    relay.start()
    counts = listener.hear_while(relay.settled)
    heard = listener.wait_for(old[499 + counts["published"]])
    compare(heard, old[500 : 500 + len(heard)])
    assert len(heard) >= 500 - A_PAGE
    assert (counts["carried"], counts["published"], counts["damaged"]) == (500, len(heard), 500 - len(heard))
    relay.wait_for_log(" ERROR ", f"of 500 messages that waited in it {len(heard)} can be read")
    exported = export(host, after=500)
    assert [e["seq"] for e in exported] == list(range(501, 501 + len(heard)))
    assert [(e["topic"].encode(), e["body"].encode()) for e in exported] == heard
    # Nobody has a word about the others any more: they are taken again, and their numbers are not.
    client = sockets.submitter(host.submit)
    assert client.ask(*old[500:]) == accepted(501, 1500 - len(heard), duplicates=len(heard))


def test_a_journal_turned_to_garbage_under_a_running_relay_is_replaced(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    host.configure_submit()
    relay.start()
    gone, stays = Sockets(), sockets.listener(host.outbound)
    with contextlib.closing(gone):
        join(sockets.publisher(host.inbound), stays, gone.listener(host.outbound))
        client = sockets.submitter(host.submit)
        published = numbered(3)
        assert client.ask(*published)["status"] == "accepted"
        stays.expect(published)
        wait_until(lambda: len(noted(host, "address FROM listener")) == 2, "both listeners are noted")
        relay.noted()
        relay.kill()
    wait_longer(relay, 8.0)
    relay.start()  # it waits for the listener that is gone, so that messages wait as well
    client = sockets.submitter(host.submit)
    lost = [envelope("org.example.test.numbered", n, filler="x" * 2000) for n in range(3, 1003)]
    assert client.ask(*lost)["status"] == "accepted"
    assert relay.messages()["waiting"] == 1000
    for path in (host.journal_file, Path(f"{host.journal_file}-wal")):
        with path.open("r+b") as file:
            file.write(os.urandom(path.stat().st_size))

    # libzmq subscribes again only while somebody asks it for messages.
    stays.hear_while(lambda: wait_until(lambda: relay.messages()["damaged"] == 1000, "they are given up"))
    assert relay.settled()["waiting"] == 0
    assert relay.log_lines(" ERROR ", "1000 messages wait in it")
    client = sockets.submitter(host.submit)
    answer = client.ask(*lost)
    assert (answer["status"], answer["duplicates"]) == ("accepted", 0)
    compare([message for message in stays.wait_for(lost[-1]) if message in lost], lost)
    assert client.ask(*published)["duplicates"] == 3
    assert relay.settled()["journaled"] == 2000


def noted(host: Host, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db:
        return db.execute(f"SELECT {query}").fetchall()
