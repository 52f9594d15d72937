"""A name is not a message: another message under a known msg_id is taken, published and said."""

from __future__ import annotations

import json

from bus import Bus, join
from harness import Host, wait_until
from messages import Message
from relays import Relay
from wire import Sockets, Submitter, accepted

TOPIC = b"org.example.names"


def named(name: str, number: int) -> Message:
    return TOPIC, json.dumps({"msg_id": name, "i": number}).encode()


def test_another_message_under_a_known_name_comes_out_and_is_said(submit_bus: Bus, submitter: Submitter) -> None:
    mine, other = named("2026-mine", 1), named("2026-mine", 2)
    elsewhere = (b"org.example.elsewhere", mine[1])
    (first, _) = submitter.ask(mine)["seq"]
    assert submitter.ask(other) == accepted(first + 1, first + 1)
    assert submitter.ask(elsewhere) == accepted(first + 2, first + 2)
    submit_bus.listener.expect([mine, other, elsewhere])
    for number, message in enumerate((mine, other, elsewhere)):
        assert submitter.ask(message) == accepted(first + number, first + number, duplicates=1)
    assert submit_bus.relay.status()["reused_names"] == 2
    said = submit_bus.relay.wait_for_log(" WARNING ", "whose msg_id another message has (last from 127.0.0.1)")
    assert "took 1 message " in said, "one line at once, then at most one in ten seconds"


def test_names_reused_in_one_batch_are_told_apart(submit_bus: Bus, submitter: Submitter) -> None:
    batch = [named("2026-a", 1), named("2026-a", 2), named("2026-a", 1), named("2026-b", 1)]
    (first, last) = submitter.ask(*batch)["seq"]
    assert last == first + 2
    submit_bus.listener.expect([batch[0], batch[1], batch[3]])
    assert submitter.ask(*batch) == accepted(first, last, duplicates=4)


def test_a_message_from_inbound_is_known_by_its_bytes(submit_bus: Bus, submitter: Submitter) -> None:
    mine, other = named("2026-inbound", 1), named("2026-inbound", 2)
    submit_bus.publisher.send(*mine)
    submit_bus.listener.expect([mine])
    assert submitter.ask(mine)["duplicates"] == 1
    assert submitter.ask(other)["duplicates"] == 0
    submit_bus.listener.expect([other])


def test_names_are_known_after_a_restart_and_after_retention(host: Host, relay: Relay, sockets: Sockets) -> None:
    host.configure_submit()
    host.settings_file.write_text("[journal]\nkeep_days = 1e-9\n")
    relay.start()
    listener = sockets.listener(host.outbound)
    join(sockets.publisher(host.inbound), listener)
    client = sockets.submitter(host.submit)
    old = [named(f"2026-{number}", number) for number in range(100)]
    first, last = client.ask(*old)["seq"]
    listener.expect(old)
    newest = named("2026-newest", 0)  # alone in its row, which always stays
    assert client.ask(newest) == accepted(last + 1, last + 1)
    listener.expect([newest])

    def kept() -> int:
        return len(host.run("fedmsg-relay", "journal", "ls").stdout.splitlines())

    wait_until(lambda: kept() == 1, "retention has removed all but the newest")
    relay.stop()
    relay.start()
    client = sockets.submitter(host.submit)
    assert client.ask(*old) == accepted(first, last, duplicates=100)
    assert client.ask(named("2026-7", 8)) == accepted(last + 2, last + 2)
    assert client.ask(named("2026-99", 98)) == accepted(last + 3, last + 3)


def test_a_name_used_without_end_costs_no_look_at_them_all(submit_bus: Bus, submitter: Submitter) -> None:
    many = [named("2026-many", number) for number in range(5000)]
    for start in range(0, 5000, 1000):
        assert submitter.ask(*many[start : start + 1000])["duplicates"] == 0
    submit_bus.listener.expect(many)
    assert submitter.ask(many[0], *many[-3:])["duplicates"] == 4
    assert submitter.ask(many[1])["duplicates"] == 0, "of one name the first and the newest three are known"
