"""The disk under the journal, when it is full, read-only or loses a little: the relay relays, says so, recovers.

Small real file systems are mounted for this, which takes root.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from bus import Bus, StartBus, join
from disk import Disk
from fedmsg_relay.journal.fault import RETRY_SECONDS
from harness import Host, wait_until
from journaled import flip_bit, take_back
from messages import Message, compare, envelope, numbered
from relays import Relay
from wire import Sockets, Submitter, accepted

BUSY = {"status": "busy", "retry_after": 2.0}


@pytest.fixture
def disk(host: Host) -> Iterator[Disk]:
    """Also the config of a site with submit; a test asks for it before whatever starts a relay."""
    host.configure_submit()
    with contextlib.closing(Disk(host)) as disk:
        yield disk


def journaled(host: Host) -> list[Message]:
    """The messages in the journal of a stopped relay, in order, read with plain SQLite."""
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db:
        rows = db.execute("SELECT topic, body FROM message ORDER BY seq").fetchall()
    return [row for row in rows if row[0] == b"org.example.test.numbered"]


def submit_until_busy(client: Submitter, messages: Iterator[Message]) -> list[Message]:
    """Submit one by one, as there is some room left in the files that exist; return those that have a receipt."""
    taken: list[Message] = []
    for message in messages:
        answer = client.ask(message)
        if answer == BUSY:
            return taken
        assert answer["status"] == "accepted"
        taken.append(message)
    raise AssertionError("there was room for all of them")


def assert_critical(bus: Bus) -> None:
    ran = bus.host.run("fedmsg-relay", "status")
    assert ran.code == 2
    assert ran.stdout.startswith("CRITICAL - journal cannot be written, messages go unjournaled: ")
    assert bus.relay.log_lines(" ERROR ", "inbound is forwarded unjournaled, submit is busy")


def assert_ok(bus: Bus) -> None:
    ran = bus.host.run("fedmsg-relay", "status")
    assert (ran.code, ran.stdout[:4]) == (0, "OK -")


@pytest.mark.parametrize(("size", "before"), [("2m", 3), ("24m", 6000)], ids=["a young journal", "one that wrapped"])
def test_a_full_disk_makes_submit_busy_and_inbound_unjournaled(
    host: Host, disk: Disk, start_bus: StartBus, size: str, before: int
) -> None:
    disk.resize(size)
    bus = start_bus()
    client = bus.sockets.submitter(host.submit)
    wide = [envelope("org.example.test.numbered", n, filler="x" * 1000) for n in range(before)]
    for start in range(0, before, 1000):
        assert client.ask(*wide[start : start + 1000])["status"] == "accepted"
    disk.fill()
    taken = submit_until_busy(client, iter(numbered(20_000, start=before)))
    start = before + len(taken)
    bus.listener.expect([*wide, *taken])

    unjournaled = numbered(5, start=start)
    for message in unjournaled:
        bus.publisher.send(*message)
        bus.listener.expect([message])
    assert client.ask(*numbered(3, start=start + 5)) == BUSY
    assert bus.relay.messages()["unjournaled"] == 5
    assert_critical(bus)
    logged = host.run("fedmsg-logger", "--message=spooled", "--modname=test", "--topic=disk")
    assert (logged.code, len(list(host.spool.glob("*.msg")))) == (0, 1), logged.stderr

    disk.free()
    retried = numbered(3, start=start + 5)
    wait_until(lambda: client.ask(*retried)["status"] == "accepted", "submit takes messages again")
    bus.listener.expect(retried)
    assert_ok(bus)
    assert bus.relay.log_lines(" WARNING ", "journal is written again")
    assert host.run("fedmsg-relay", "spool", "deliver").code == 0
    wait_until(lambda: any(b"spooled" in frames[1] for frames in bus.listener.hear()), "the spooled one comes out")
    assert bus.relay.messages()["unjournaled"] == 5
    assert bus.relay.stop() == 0
    assert journaled(host) == [*wide, *taken, *retried]


def test_the_status_recovers_by_itself_without_another_message(
    disk: Disk, submit_bus: Bus, submitter: Submitter
) -> None:
    disk.fill()
    taken = submit_until_busy(submitter, iter(numbered(3000)))
    deadline = time.monotonic() + 3 * RETRY_SECONDS
    while time.monotonic() < deadline:  # tried again and again, it stays what it is
        assert_critical(submit_bus)
    assert not submit_bus.relay.log_lines("journal is written again")
    disk.free()
    wait_until(lambda: submit_bus.host.run("fedmsg-relay", "status").code == 0, "the status is OK again")
    assert_ok(submit_bus)
    assert submit_bus.relay.log_lines(" WARNING ", "journal is written again")
    more = numbered(3, start=len(taken))
    assert submitter.ask(*more)["status"] == "accepted"
    submit_bus.listener.expect([*taken, *more])


@pytest.mark.parametrize(("size", "said"), [("2m", 1), ("64m", 0)])
def test_the_log_warns_of_a_disk_with_less_room_than_the_journal_may_take(
    host: Host, disk: Disk, relay: Relay, size: str, said: int
) -> None:
    disk.resize(size)
    host.settings_file.write_text("[journal]\nkeep_bytes = 20_000_000\n")
    relay.start()
    relay.stop()
    assert len(relay.log_lines(" WARNING ", "the journal may grow by ")) == said


def test_a_disk_that_the_journal_fills_has_room_again_as_messages_go_out(
    host: Host, disk: Disk, start_bus: StartBus
) -> None:
    """Less room than the WAL alone would take, and thirty times as much to journal.

    Messages make room when they count as published, so each megabyte waits for that.
    """
    disk.resize("12m")
    bus = start_bus()
    client = bus.sockets.submitter(host.submit)
    sent = [envelope("org.example.test.numbered", n, filler="x" * 10_000) for n in range(3000)]
    for start in range(0, 3000, 10):
        assert client.ask(*sent[start : start + 10])["status"] == "accepted"
        bus.listener.expect(sent[start : start + 10])
        if start % 100 == 90:
            bus.relay.noted()
    assert not bus.relay.log_lines("journal cannot be written")
    assert_ok(bus)
    assert bus.relay.stop() == 0
    kept = journaled(host)
    assert kept == [
        envelope("org.example.test.numbered", n, filler="x" * 10_000) for n in range(3000 - len(kept), 3000)
    ]
    assert len(kept) > 200, "half of the disk is the journal's"
    assert host.run("fedmsg-relay", "journal", "check").code == 0


def test_a_disk_that_others_fill_leaves_the_journal_intact_and_recovers(
    host: Host, disk: Disk, start_bus: StartBus
) -> None:
    disk.resize("40m")
    bus = start_bus()
    client = bus.sockets.submitter(host.submit)
    other = disk.directory / "other"
    other.write_bytes(bytes(32 * 2**20))
    wide = (envelope("org.example.test.numbered", n, filler="x" * 1000) for n in range(100_000))
    taken = submit_until_busy(client, wide)
    assert len(taken) > 3000, "most of the room is used for messages, and not for the WAL"
    bus.listener.expect(taken)
    assert_critical(bus)
    assert Path(f"{host.journal_file}-wal").stat().st_size < 2**20
    disk.fill()
    other.unlink()
    retried = list(islice(wide, 100))
    wait_until(lambda: client.ask(*retried)["status"] == "accepted", "it is taken again")
    bus.listener.expect(retried)
    assert_ok(bus)
    assert bus.relay.stop() == 0
    assert journaled(host) == [*taken, *retried]


def no_journal(relay: Relay) -> None:
    """As before the very first start."""
    relay.stop()
    relay.host.journal_file.unlink()


def left_by_a_stop(relay: Relay) -> None:
    relay.stop()


def left_by_a_kill(relay: Relay) -> None:
    relay.noted()
    relay.kill()


@pytest.mark.parametrize("left", [no_journal, left_by_a_stop, left_by_a_kill])
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_relay_starts_on_a_read_only_disk_and_recovers_by_itself(
    host: Host, disk: Disk, start_bus: StartBus, fault: str, left: Callable[[Relay], None]
) -> None:
    bus = start_bus()
    client = bus.sockets.submitter(host.submit)
    old = numbered(3)
    assert client.ask(*old)["status"] == "accepted"
    bus.listener.expect(old)
    left(bus.relay)
    disk.fill() if fault == "full" else disk.forbid_writing()

    bus.relay.start()
    join(bus.publisher, bus.listener)
    taken = submit_until_busy(client, iter(numbered(1000, start=3)))
    unjournaled = numbered(5, start=1003)
    before = bus.relay.messages()["unjournaled"]
    bus.publisher.send_all(unjournaled)
    heard = bus.listener.wait_for(unjournaled[-1])
    compare([message for message in heard if message not in old], [*taken, *unjournaled])
    assert client.ask(*numbered(3, start=1008)) == BUSY
    assert bus.relay.messages()["unjournaled"] == before + 5
    assert_critical(bus)

    disk.free() if fault == "full" else disk.allow_writing()
    retried = numbered(3, start=1008)
    wait_until(lambda: client.ask(*retried)["status"] == "accepted", "submit takes messages again")
    heard = bus.listener.wait_for(retried[-1])
    compare([message for message in heard if message not in old], retried)
    assert_ok(bus)
    assert client.ask(*retried)["duplicates"] == 3
    kept = old if left is not no_journal else []
    assert client.ask(*old)["duplicates"] == len(kept)
    assert bus.relay.stop() == 0
    assert journaled(host) == [*kept, *taken, *retried, *([] if kept else old)]


def test_a_torn_tail_costs_only_what_was_torn(host: Host, relay: Relay, sockets: Sockets) -> None:
    host.configure_submit()
    relay.start()
    client = sockets.submitter(host.submit)
    wal = Path(f"{host.journal_file}-wal")
    ends = []
    for number in range(20):
        assert client.ask(*numbered(1, start=number)) == accepted(number + 1, number + 1)
        ends.append(wal.stat().st_size)
    relay.kill()
    os.truncate(wal, ends[12] + 10)

    relay.start()
    assert client.ask(*numbered(13)) == accepted(1, 13, duplicates=13)
    assert client.ask(*numbered(7, start=13)) == accepted(14, 20)
    assert relay.settled()["damaged"] == 0
    assert relay.stop() == 0
    assert journaled(host) == numbered(20)
    assert not [*host.journal_file.parent.glob("journal.db.corrupt-*")]


def test_a_message_that_changed_on_disk_is_reported_and_not_published(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    host.configure_submit()
    relay.start()
    client = sockets.submitter(host.submit)
    for seq, message in enumerate(numbered(5), 1):
        assert client.ask(message) == accepted(seq, seq)
    relay.stop()
    take_back(host.journal_file, 0, ["127.0.0.1"])
    flip_bit(host.journal_file, 3)
    listener = sockets.listener(host.outbound)
    relay.start()
    whole = numbered(5)
    listener.expect(whole[:2] + whole[3:])
    counts = relay.settled()
    assert (counts["carried"], counts["published"], counts["damaged"]) == (5, 4, 1)
    assert relay.log_lines(" ERROR ", "messages 3 to 3 are damaged")


def test_a_journal_of_a_newer_format_is_left_as_it_is(host: Host, relay: Relay) -> None:
    relay.start()
    relay.stop()
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db:
        db.execute("UPDATE state SET format = format + 1")
        db.commit()
    before = host.journal_file.read_bytes()
    process = relay.launch()
    assert process.wait() == 78
    (line,) = process.stderr().splitlines()
    assert str(host.journal_file) in line
    assert "newer" in line
    assert host.journal_file.read_bytes() == before
    assert not [*host.journal_file.parent.glob("journal.db.corrupt-*")]
