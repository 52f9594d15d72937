"""submit: a receipt means on disk, a batch goes as a whole, a retry is not published twice.

The clients here know only docs/submit.md.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import struct
from contextlib import closing

import pytest
import zmq

from bus import Bus, StartBus
from harness import Host
from messages import Message, envelope, numbered
from raw import RawPeer, frame
from submitted import NOT_WELL_FORMED, TOPIC, last_seq, named
from wire import Submitter, accepted


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER], ids=["REQ", "DEALER"])
def test_a_message_gets_its_receipt_and_comes_out_as_it_went_in(submit_bus: Bus, last: int, kind: int) -> None:
    client = submit_bus.sockets.submitter(submit_bus.host.submit, kind)
    odd = (TOPIC, b' {"b": 1.10,  "a":"\\u00e9", "a": NaN } ')
    assert client.ask(odd) == accepted(last + 1, last + 1)
    submit_bus.listener.expect([odd])
    assert client.ask(*numbered(3)) == accepted(last + 2, last + 4)
    submit_bus.listener.expect(numbered(3))


def test_a_client_of_bare_zmtp_gets_its_receipt(submit_bus: Bus, last: int) -> None:
    peer = RawPeer(submit_bus.host.submit).shake_hands(b"REQ")
    (message,) = numbered(1)
    peer.send(frame(b"", more=True) + frame(b"FMR1", more=True) + frame(message[0], more=True) + frame(message[1]))
    body = json.dumps(accepted(last + 1, last + 1)).encode()
    answer = frame(b"", more=True) + frame(b"FMR1", more=True) + frame(body)
    assert peer.receive(len(answer)) == answer
    peer.close()
    submit_bus.listener.expect([message])


def test_a_receipt_means_that_the_message_is_in_the_journal(submit_bus: Bus, submitter: Submitter) -> None:
    submit_bus.relay.noted()
    for message in numbered(5):
        (seq, _) = submitter.ask(message)["seq"]
        submit_bus.relay.kill()
        shown = submit_bus.host.run("fedmsg-relay", "journal", "show", str(seq))
        assert (shown.code, shown.stdout.encode()) == (0, message[1] + b"\n")
        submit_bus.relay.start()


def test_a_receipt_means_that_the_message_comes_out_even_after_a_kill(submit_bus: Bus, submitter: Submitter) -> None:
    submit_bus.relay.noted()
    for message in numbered(5):
        (seq, _) = submitter.ask(message)["seq"]
        submit_bus.relay.kill()
        with closing(sqlite3.connect(submit_bus.host.journal_file)) as db:
            rows = db.execute("SELECT topic, body FROM message WHERE seq = ?", (seq,)).fetchall()
        assert rows == [message]
        submit_bus.relay.start()
        # Once before the kill, or once after the start, or both.
        assert {*submit_bus.listener.wait_for(message)} <= {*numbered(5)}


def test_every_message_is_counted_as_what_became_of_it(submit_bus: Bus, submitter: Submitter) -> None:
    before = submit_bus.relay.messages()
    submit_bus.publisher.send(TOPIC, b"not JSON")
    submit_bus.publisher.send_all(numbered(2))
    submit_bus.listener.expect(numbered(2))
    submitter.ask(*numbered(5))
    submitter.ask(*numbered(7), NOT_WELL_FORMED["body-not-json"])
    submitter.send_frames(b"FMR1")
    submitter.answer()
    after = submit_bus.relay.settled()
    expected = {"received": 17, "journaled": 5, "quarantined": 1, "refused": 9, "duplicates": 2, "unjournaled": 0}
    assert {name: after[name] - before[name] for name in expected} == expected


def test_a_batch_of_1000_is_published_in_its_order(submit_bus: Bus, submitter: Submitter, last: int) -> None:
    assert submitter.ask(*numbered(1000)) == accepted(last + 1, last + 1000)
    submit_bus.listener.expect(numbered(1000))


def test_a_batch_of_1001_is_refused_as_a_whole(submit_bus: Bus, submitter: Submitter, last: int) -> None:
    answer = submitter.ask(*numbered(1001))
    assert (answer["status"], answer["reason"]) == ("refused", "batch-too-large")
    good = envelope("org.example.test.good", 1)
    assert submitter.ask(good) == accepted(last + 1, last + 1)
    submit_bus.listener.expect([good])


@pytest.mark.parametrize("reason", NOT_WELL_FORMED)
def test_one_bad_message_refuses_its_whole_batch(host: Host, start_bus: StartBus, reason: str) -> None:
    host.configure_submit()
    host.write("relay.toml", "[limits]\nmax_message_size = 4096\n")
    bus = start_bus()
    before = last_seq(bus)
    client = bus.sockets.submitter(host.submit)
    for position in (0, 1, 2):
        batch = numbered(2)
        batch.insert(position, NOT_WELL_FORMED[reason])
        answer = client.ask(*batch)
        assert (answer["status"], answer["reason"]) == ("refused", reason)
        assert f"message {position + 1} of 3" in answer["detail"]
    # Neither published, nor remembered as seen: without the bad one it is taken.
    assert client.ask(*numbered(2)) == accepted(before + 1, before + 2)
    bus.listener.expect(numbered(2))
    messages = bus.relay.messages()
    assert (messages["refused"], messages["duplicates"]) == (9, 0)
    assert bus.relay.status()["dropped"][reason] == 9
    kept = bus.host.run("fedmsg-relay", "journal", "quarantine", "--json").stdout.splitlines()
    assert [(json.loads(row)["reason"], json.loads(row)["source"]) for row in kept] == [(reason, "127.0.0.1")] * 3


def test_too_large_is_refused_and_a_frame_that_is_larger_still_is_cut_off(
    submit_bus: Bus, submitter: Submitter, last: int
) -> None:
    answer = submitter.ask((TOPIC, b'"' + b"x" * 2**24 + b'"'))
    assert (answer["status"], answer["reason"]) == ("refused", "too-large")
    peer = RawPeer(submit_bus.host.submit).shake_hands(b"DEALER")
    with closing(peer):
        peer.send(frame(b"", more=True) + frame(b"FMR1", more=True) + frame(TOPIC, more=True))
        peer.send(struct.pack(">BQ", 2, 2**26 + 1))
        peer.wait_closed()
    assert submitter.ask(*numbered(1)) == accepted(last + 1, last + 1)


def test_a_batch_without_an_answer_is_asked_for_again_over_a_new_socket(submit_bus: Bus, last: int) -> None:
    submit_bus.relay.running.send_signal(signal.SIGSTOP)
    silent = submit_bus.sockets.submitter(submit_bus.host.submit, zmq.REQ)
    silent.send(*numbered(3))
    assert silent.answer_if_any(0.5) is None
    with pytest.raises(zmq.ZMQError, match="current state"):
        silent.send(*numbered(3))
    silent.close()
    again = submit_bus.sockets.submitter(submit_bus.host.submit, zmq.REQ)
    again.send(*numbered(3))
    submit_bus.relay.running.send_signal(signal.SIGCONT)
    assert again.answer()["seq"] == [last + 1, last + 3]
    submit_bus.listener.expect(numbered(3))


def test_the_same_again_is_acknowledged_and_not_published_twice(
    submit_bus: Bus, submitter: Submitter, last: int
) -> None:
    batch = numbered(3)
    assert submitter.ask(*batch) == accepted(last + 1, last + 3)
    assert submitter.ask(*batch) == accepted(last + 1, last + 3, duplicates=3)
    assert submitter.ask(batch[1]) == accepted(last + 2, last + 2, duplicates=1)
    assert submitter.ask(batch[2], *numbered(1, start=3)) == accepted(last + 3, last + 4, duplicates=1)
    submit_bus.listener.expect(numbered(4))
    assert submit_bus.relay.messages()["duplicates"] == 5


def test_the_same_twice_in_one_batch_is_published_once(submit_bus: Bus, submitter: Submitter, last: int) -> None:
    once, twice = named("2026-a"), named("2026-b")
    assert submitter.ask(twice, once, twice, twice) == accepted(last + 1, last + 2, duplicates=2)
    assert submitter.ask(*numbered(1)) == accepted(last + 3, last + 3)
    submit_bus.listener.expect([twice, once, *numbered(1)])


def test_the_same_from_many_clients_at_once_is_published_once(submit_bus: Bus, last: int) -> None:
    clients = [submit_bus.sockets.submitter(submit_bus.host.submit) for _ in range(20)]
    # The relay stands still meanwhile, so that it finds them all in one turn.
    for client in clients:
        client.ask(*numbered(1))
    submit_bus.relay.running.popen.send_signal(19)
    for client in clients:
        client.send(*numbered(2, start=1))
    submit_bus.relay.running.popen.send_signal(18)
    answers = [client.answer() for client in clients]
    assert [answer["seq"] for answer in answers] == [[last + 2, last + 3]] * 20
    assert sorted(answer["duplicates"] for answer in answers) == [0, *[2] * 19]
    submit_bus.listener.expect(numbered(3))


def test_messages_from_inbound_are_known_to_submit(submit_bus: Bus, submitter: Submitter, last: int) -> None:
    submit_bus.publisher.send_all(numbered(2))
    submit_bus.listener.expect(numbered(2))
    assert submitter.ask(*numbered(3)) == accepted(last + 1, last + 3, duplicates=2)
    submit_bus.listener.expect(numbered(1, start=2))


def test_a_message_without_a_msg_id_is_never_a_duplicate(submit_bus: Bus, submitter: Submitter, last: int) -> None:
    odd: list[Message] = [
        *[(TOPIC, body) for body in (b"{}", b"[]", b'"text"', b"null", b'{"msg_id": 7}', b'{"msg_id": null}')],
        (TOPIC, b'{"msg_id": "' + b"x" * 201 + b'"}'),
        (TOPIC, '{"msg_id": "é"}'.encode()),
    ]
    for first in (last + 1, last + 1 + len(odd)):
        assert submitter.ask(*odd) == accepted(first, first + len(odd) - 1)
        submit_bus.listener.expect(odd)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_receipts_survive_the_relay(submit_bus: Bus, submitter: Submitter, last: int, end: str) -> None:
    assert submitter.ask(*numbered(5)) == accepted(last + 1, last + 5)
    submit_bus.listener.expect(numbered(5))
    getattr(submit_bus.relay, end)()
    submit_bus.relay.start()
    assert submitter.ask(*numbered(6)) == accepted(last + 1, last + 6, duplicates=5)


def test_the_window_holds_the_newest_50000(submit_bus: Bus, submitter: Submitter, last: int) -> None:
    oldest = named("2026-oldest")
    assert submitter.ask(oldest) == accepted(last + 1, last + 1)
    for lot in range(49):
        assert submitter.ask(*numbered(1000, start=1000 * lot))["duplicates"] == 0
    assert submitter.ask(*numbered(999, start=49_000))["duplicates"] == 0
    assert submitter.ask(oldest) == accepted(last + 1, last + 1, duplicates=1)
    assert submitter.ask(*numbered(1, start=49_999))["duplicates"] == 0
    submit_bus.relay.stop()
    submit_bus.relay.start()
    assert submitter.ask(*numbered(1)) == accepted(last + 2, last + 2, duplicates=1)
    assert submitter.ask(oldest) == accepted(last + 50_002, last + 50_002)
