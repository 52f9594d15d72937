"""fedmsg-relay journal: what is damaged is found and said, and everything else is shown."""

from __future__ import annotations

import json

import pytest

from bus import Bus
from journal_commands import journal, last, lines_of_json, send, send_one_by_one
from journaled import edit, flip_bit, take_back
from messages import numbered


def test_check_of_a_sound_journal_is_ok(shared_bus: Bus) -> None:
    send(shared_bus, *numbered(3))
    count = last(shared_bus)
    ran = journal(shared_bus.host, "check")
    assert (ran.code, ran.stdout, ran.stderr) == (0, f"OK - {count} messages\n", "")
    (said,) = lines_of_json(journal(shared_bus.host, "check", "--json"))
    assert said == {"ok": True, "messages": count, "faults": []}


@pytest.mark.parametrize("column", ["topics", "bodies"])
def test_a_flipped_bit_is_found_and_every_command_still_works(bus: Bus, column: str) -> None:
    before = last(bus)
    send_one_by_one(bus, *numbered(3))
    assert bus.relay.stop() == 0
    assert journal(bus.host, "check").code == 0
    flipped = flip_bit(bus.host.journal_file, before + 2, column)
    damaged = f"seq {before + 2} is damaged"

    ran = journal(bus.host, "check")
    assert ran.code == 2
    assert ran.stdout.startswith(f"CRITICAL - {before + 3} messages; message {damaged}")
    ran = journal(bus.host, "check", "--json")
    assert ran.code == 2
    said = json.loads(ran.stdout)
    assert (said["ok"], len(said["faults"])) == (False, 1)
    assert damaged in said["faults"][0]

    ran = bus.host.run("/bin/sh", "-c", f"fedmsg-relay journal show {before + 2} | od -An -v -tx1")
    assert damaged in ran.stderr
    shown = bytes.fromhex(ran.stdout)
    assert shown == (flipped if column == "bodies" else numbered(2)[1][1]) + b"\n"
    for command in (["show", str(before + 2), "--json"], ["export", "--after", str(before)]):
        ran = journal(bus.host, *command)
        assert ran.code == 2
        assert damaged in ran.one_error_line()
    assert [json.loads(line)["seq"] - before for line in ran.stdout.splitlines()] == [1, 2, 3]
    for command in (["ls", "--after", str(before)], ["tail", "-n", "3"]):
        ran = journal(bus.host, *command)
        assert (ran.code, ran.stderr, len(ran.stdout.splitlines())) == (0, "", 3)


def test_a_message_with_a_flipped_bit_is_not_published_and_the_others_are(bus: Bus) -> None:
    before = last(bus)
    messages = numbered(4)
    send_one_by_one(bus, *messages)
    assert bus.relay.stop() == 0
    flip_bit(bus.host.journal_file, before + 3)
    take_back(bus.host.journal_file, before + 1, ["127.0.0.1"])
    bus.relay.start()
    bus.listener.expect([messages[1], messages[3]])
    counters = bus.relay.settled()
    assert (counters["carried"], counters["published"], counters["damaged"]) == (3, 2, 1)
    bus.relay.wait_for_log("damaged", str(before + 3))


def test_a_message_that_is_missing_is_named(bus: Bus) -> None:
    before = last(bus)
    send_one_by_one(bus, *numbered(3))
    assert bus.relay.stop() == 0
    edit(bus.host.journal_file, "DELETE FROM block WHERE first = ?", before + 2)
    ran = journal(bus.host, "check")
    assert ran.code == 2
    assert f"messages {before + 2} to {before + 2} are missing" in ran.stdout


def test_a_page_that_is_overwritten_is_found(bus: Bus) -> None:
    send(bus, *numbered(2000))
    assert bus.relay.stop() == 0
    page = 16384
    with bus.host.journal_file.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(size // 2 // page * page)
        file.write(b"\xa5" * page)
    ran = journal(bus.host, "check")
    assert ran.code == 2
    assert ran.stdout.startswith("CRITICAL - ")
    assert ran.stderr == ""
