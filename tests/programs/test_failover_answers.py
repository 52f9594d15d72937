"""A relay that answers something else than a receipt, or nothing: whom the script asks then."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping

import pytest
import zmq

from fedmsg_relay.errors import EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE
from harness import Host
from pairs import Pair, journaled, log
from spooled import waiting


@contextlib.contextmanager
def answering(address: str, *answers: Mapping[str, object] | None) -> Iterator[list[int]]:
    """Somebody at the address with an answer for each request in turn, None being silence, and the last one for all
    that follow; how many messages each request had."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(address)
    asked: list[int] = []
    done = threading.Event()

    def answer_all() -> None:
        while not done.is_set():
            if router.poll(50):
                route, empty, version, *frames = router.recv_multipart()
                asked.append(len(frames) // 2)
                answer = answers[min(len(asked), len(answers)) - 1]
                if answer is not None:
                    router.send_multipart([route, empty, version, json.dumps(answer).encode()])

    thread = threading.Thread(target=answer_all)
    thread.start()
    try:
        yield asked
    finally:
        done.set()
        thread.join()
        router.close()
        context.term()


def test_the_second_is_asked_where_the_first_is_busy(pair: Pair) -> None:
    pair.configure(spool=True)
    pair.first.kill()
    with answering(pair.first.host.submit, {"status": "busy", "retry_after": 30}) as asked:
        ran = log(pair.host, "hello")
    assert (ran.code, ran.stderr) == (0, ""), "neither an error nor, after 2 s, spooled"
    assert asked == [1]
    assert journaled(pair.second) == [{"log": "hello"}]


def test_a_full_spool_in_a_series_is_told_with_how_many_were_sent(pair: Pair) -> None:
    pair.configure(spool=True)
    for relay in pair.relays:
        relay.kill()
    lines = "x\n" * 11_500
    with answering(pair.first.host.submit, {"status": "accepted", "seq": [1, 1000]}, None) as asked:
        ran = pair.host.run("fedmsg-logger", stdin=lines)
    assert asked[:2] == [1000, 1000]
    assert ran.code == EX_UNAVAILABLE
    assert "stopped at line 1001 of stdin, before it 1000 were sent and 0 spooled" in ran.one_error_line()


def test_a_message_that_the_first_relay_refuses_is_not_sent_to_the_second(pair: Pair) -> None:
    pair.first.kill()
    refusal = {"status": "refused", "reason": "too-large", "detail": "message 1 of 1"}
    with answering(pair.first.host.submit, refusal) as asked:
        ran = log(pair.host, "hello")
    assert ran.code == 65
    assert "too-large" in ran.one_error_line()
    assert asked == [1]
    assert journaled(pair.second) == []


NOT_ALLOWED = {"status": "refused", "reason": "source-not-allowed", "detail": "from 192.0.2.7; message 1 of 1"}


def test_the_second_is_asked_where_the_first_refuses_the_address_of_this_host(pair: Pair) -> None:
    pair.configure(spool=True)
    pair.first.kill()
    with answering(pair.first.host.submit, NOT_ALLOWED) as asked:
        ran = pair.host.run("fedmsg-logger", stdin="one\ntwo\n")
    assert (ran.code, ran.stderr) == (0, ""), "neither refused nor spooled"
    assert asked == [2]
    assert journaled(pair.second) == [{"log": "one"}, {"log": "two"}]


def test_a_host_that_every_relay_refuses_is_told_which_were_asked(pair: Pair) -> None:
    pair.configure(spool=True)
    for relay in pair.relays:
        relay.kill()
    first, second = (relay.host.submit for relay in pair.relays)
    with answering(first, NOT_ALLOWED) as asked_first, answering(second, NOT_ALLOWED) as asked_second:
        ran = log(pair.host, "hello")
    assert ran.code == EX_NOPERM
    assert f"source-not-allowed (from 192.0.2.7; message 1 of 1); each of {first}, {second}" in ran.one_error_line()
    assert (asked_first, asked_second) == ([1], [1])
    assert waiting(pair.host) == []


def test_a_message_waits_for_a_dead_relay_where_the_other_refuses_this_host(pair: Pair) -> None:
    pair.configure(spool=True)
    for relay in pair.relays:
        relay.kill()
    with answering(pair.first.host.submit, NOT_ALLOWED) as asked:
        ran = log(pair.host, "hello")
        assert "1 spooled" in ran.one_error_line()
        assert asked == [1], "it is not asked again"
        pair.second.start()
        assert pair.host.run("fedmsg-relay", "spool", "deliver", "--patience", "10").code == 0
    assert journaled(pair.second) == [{"log": "hello"}]


def test_without_a_spool_it_is_said_which_relay_is_silent_and_which_refused(pair: Pair) -> None:
    for relay in pair.relays:
        relay.kill()
    first, second = (relay.host.submit for relay in pair.relays)
    with answering(first, NOT_ALLOWED):
        ran = log(pair.host, "hello", "--timeout", "1")
    assert ran.code == EX_UNAVAILABLE
    assert f"no relay answered within 1 s at {second} (" in ran.one_error_line()
    assert f"; {first} refused this host: source-not-allowed; " in ran.one_error_line()


def test_a_fault_of_the_message_is_told_also_after_a_refusal_of_the_host(pair: Pair) -> None:
    for relay in pair.relays:
        relay.kill()
    too_large = {"status": "refused", "reason": "too-large", "detail": "message 1 of 1"}
    with answering(pair.first.host.submit, NOT_ALLOWED), answering(pair.second.host.submit, too_large):
        ran = log(pair.host, "hello")
    assert ran.code == EX_DATAERR
    assert ran.one_error_line() == "fedmsg-logger: refused by the relay: too-large (message 1 of 1); not sent"


NO_ANSWERS: dict[str, Mapping[str, object]] = {
    "no status": {},
    "a status of its own": {"status": "thanks"},
    "a receipt without its numbers": {"status": "accepted"},
    "a receipt with one number": {"status": "accepted", "seq": 7},
    "a receipt with numbers that are none": {"status": "accepted", "seq": ["7", None]},
    "a refusal without a reason": {"status": "refused"},
    "a busy without its pause": {"status": "busy", "retry_after": None},
    "a pause in words": {"status": "busy", "retry_after": "soon"},
    "a pause below zero": {"status": "busy", "retry_after": -3},
    "a pause that is no number": {"status": "busy", "retry_after": float("nan")},
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_an_answer_that_the_protocol_does_not_have_is_not_a_receipt(host: Host, answer: Mapping[str, object]) -> None:
    host.configure_submit(spool="")
    with answering(host.submit, answer) as asked:
        ran = log(host, "hello", "--timeout", "1")
        assert ran.code == EX_UNAVAILABLE
        assert f"{host.submit} gave no receipt" in ran.one_error_line()
        assert 1 <= len(asked) <= 15, "asked again, with a pause between"


def test_the_second_relay_is_asked_if_the_first_answers_out_of_protocol(pair: Pair) -> None:
    pair.first.kill()
    with answering(pair.first.host.submit, {"status": "accepted", "seq": None}) as asked:
        ran = log(pair.host, "hello")
    assert (ran.code, ran.stderr) == (0, "")
    assert asked == [1]
    assert journaled(pair.second) == [{"log": "hello"}]


def test_a_single_relay_whose_answer_does_not_come_is_asked_again(pair: Pair) -> None:
    pair.first.kill()
    pair.host.configure_submit([pair.first.host.submit], "")
    with answering(pair.first.host.submit, None, {"status": "accepted", "seq": [7, 7], "duplicates": 1}) as asked:
        ran = log(pair.host, "hello")
    assert (ran.code, ran.stderr) == (0, "")
    assert asked == [1, 1]
