"""`fedmsg-relay tail` where something else answers: no wait for ever, no traceback, nothing that steers a terminal."""

from __future__ import annotations

import json
import signal

import pytest

from harness import Host, wait_until
from impostor import impostors

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
MESSAGE = {"seq": 1, "time": 1, "msg_id": None, "topic": "t", "body": "{}"}


def event(**facts: object) -> bytes:
    return HEADERS + b"data: " + json.dumps(MESSAGE | facts).encode() + b"\n\n"


def status(line: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (line, len(body), body)


STRANGE = {
    "a topic that is not a text": event(topic=None),
    "a topic that is not UTF-8": event(topic="\ud800"),
    "a number that is a text": event(seq="1"),
    "a time beyond the calendar": event(time=1e300),
    "a time that is not a number": event(time=float("nan")),
    "no object": HEADERS + b"data: []\n\n",
    "not JSON": HEADERS + b"data: hello\n\n",
    "nested too deep": HEADERS + b"data: " + b"[" * 200_000 + b"\n\n",
    "a place without a number": HEADERS + b'event: place\ndata: {"seq": null, "digest": ""}\n\n',
    "a place with a digest that is not one": HEADERS + b'event: place\ndata: {"seq": 1, "digest": "\\ud800"}\n\n',
    "another type": status(b"200 OK", b"hello"),
    "not found": status(b"404 Not Found"),
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE.keys())
def test_what_no_web_process_says_ends_tail_with_a_line(host: Host, answer: bytes) -> None:
    with impostors(host, answer):
        ran = host.run("fedmsg-relay", "tail")
    assert ran.code == 69
    assert "not a web process of fedmsg-relay (" in ran.one_error_line()


def test_where_no_relay_is_left_tail_ends(host: Host) -> None:
    with impostors(host, STRANGE["not found"], STRANGE["not JSON"]):
        ran = host.run("fedmsg-relay", "tail")
    assert ran.code == 69
    left_out, ended = ran.stderr.splitlines()
    assert left_out.endswith("; it is left out")
    assert ended.startswith("fedmsg-relay: ")


@pytest.mark.parametrize("line", [b"500 Internal Server Error", b"502 Bad Gateway", b"503 Service Unavailable"])
def test_tail_comes_back_after_an_error_of_the_server(host: Host, line: bytes) -> None:
    with impostors(host, status(line)) as (proxy,):
        tail = host.start("fedmsg-relay", "tail")
        wait_until(lambda: f"is busy: {line[:3].decode()}; trying again" in tail.stderr(), "tail says so")
        proxy.answer = event(topic="here.again")
        wait_until(lambda: " here.again {}" in tail.stdout(), "the message")
        tail.stop(signal.SIGINT)


def test_an_event_that_is_cut_off_is_no_error(host: Host) -> None:
    whole = event(topic="whole")
    with impostors(host, whole[:-5]) as (relay,):
        tail = host.start("fedmsg-relay", "tail")
        relay.answer = whole
        wait_until(lambda: " whole {}" in tail.stdout(), "the message")
        tail.stop(signal.SIGINT)
        assert tail.stderr() == ""


@pytest.mark.parametrize(
    "answer",
    [b"\x1b[2J\x1b[31mowned\r\n\r\n", status(b"503 x", b"\x1b[2J\x9bx\nfedmsg-relay: all is well")],
    ids=["status line", "body"],
)
def test_the_words_of_a_peer_steer_no_terminal_and_stay_in_their_line(host: Host, answer: bytes) -> None:
    with impostors(host, answer):
        tail = host.start("fedmsg-relay", "tail")
        wait_until(lambda: "; trying again" in tail.stderr(), "tail says what it got")
        (line,) = tail.stderr().splitlines()
        assert line.isprintable()
        tail.stop(signal.SIGINT)


def test_no_more_of_an_answer_is_read_than_there_can_be(host: Host) -> None:
    told = json.dumps({"oldest": 1, "more": "x" * 1024 * 1024}).encode()
    with impostors(host, status(b"409 Conflict", told)):
        tail = host.start("fedmsg-relay", "tail", "--after", "1")
        wait_until(lambda: "; trying again" in tail.stderr(), "it is not taken for an answer")
        assert tail.alive()


BAD = ["http://app01:99430", "http://app01:abc", "http://app01:0", "http://[::1:9943"]


@pytest.mark.parametrize("command", [["tail"], ["trace", "x"]], ids=["tail", "trace"])
@pytest.mark.parametrize("url", BAD)
def test_a_relay_web_with_a_bad_port_is_one_line(host: Host, command: list[str], url: str) -> None:
    host.write("fedmsg.d/web.py", f"config = {{'relay_web': {url!r}}}\n")
    ran = host.run("fedmsg-relay", *command)
    assert ran.code == 78
    assert f"relay_web: {url!r} is not a URL" in ran.one_error_line()


def test_tail_works_in_a_directory_that_was_removed(host: Host) -> None:
    with impostors(host, event()) as (relay,):
        config = host.write("all.py", f"config = {{'relay_web': {relay.url!r}, 'endpoints': {{}}}}\n")
        script = 'mkdir gone; cd gone; rmdir ../gone; exec fedmsg-relay tail --config-filename "$0"'
        tail = host.start("/bin/sh", "-c", script, config)
        wait_until(lambda: " t {}" in tail.stdout() or not tail.alive(), "the message")
        assert tail.alive(), tail.stderr()
