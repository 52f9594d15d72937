"""A listener goes on after the message that it has had, whatever somebody else publishes under the same name."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fedmsg_relay.journal.records import digest
from harness import Host, Process, wait_until
from messages import Message, envelope
from served import START, Answer, Web, fill

NAME = "2026-place-2"
COUNT = 200
MESSAGES = [envelope("org.example.place", n) for n in range(COUNT)]
"""The third one has the name."""

NAMESAKE = (b"org.example.other", json.dumps({"msg_id": NAME, "msg": "anybody's"}).encode())


@pytest.fixture
def web(host: Host) -> Iterator[Web]:
    """A web process whose journal has another message of the same name at its end."""
    fill(host, [*MESSAGES, NAMESAKE, MESSAGES[0]])
    with contextlib.closing(Web(host)) as web:
        yield web.start()


def hexadecimal(message: Message) -> str:
    return digest(*message).hex()


def asked(web: Web, **place: Any) -> Answer:
    """The answer, once the index of names is complete."""
    answer = wait_until(lambda: found if (found := web.get("/messages", place)).code != 503 else None, "an answer")
    assert isinstance(answer, Answer)
    return answer


def first_of(web: Web, **place: Any) -> int:
    """The number of the first message after a place."""
    answer = asked(web, **place)
    assert answer.code == 200, answer.body
    return int(json.loads(answer.body.splitlines()[0])["seq"])


def test_a_listener_goes_on_after_the_oldest_message_with_a_name(web: Web) -> None:
    assert first_of(web, after=NAME) == 4
    with web.asked("/stream", {"after": NAME}) as stream:
        events = [stream.readline() for _ in range(5)]
    assert events[4] == b"id: 4\n"


def test_a_digest_tells_messages_with_one_name_apart(web: Web) -> None:
    assert first_of(web, after=NAME, digest=hexadecimal(MESSAGES[2])) == 4
    assert first_of(web, after=NAME, digest=hexadecimal(NAMESAKE)) == COUNT + 2
    assert asked(web, after=NAME, digest=hexadecimal(MESSAGES[3])).code == 409


def test_a_page_and_a_look_up_by_name_have_the_newest(web: Web) -> None:
    assert web.get("/id", {"id": NAME}).body == NAMESAKE[1]
    assert web.get("/search", {"id": NAME}).headers["location"] == f"/message/{COUNT + 1}"
    assert asked(web, after=NAME).code == 200
    told = web.json("/trace", id=NAME)["journal"]
    assert (told["time"], told["first_time"]) == (START + COUNT * 60, START + 2 * 60)


def test_a_stream_goes_on_by_its_last_event_whatever_it_began_with(web: Web) -> None:
    """As EventSource does: it asks for the same again, and names the last event."""
    place = {"after": 3, "digest": hexadecimal(MESSAGES[2])}
    with web.asked("/stream", place) as stream:
        assert stream.status == 200
    with web.asked("/stream", place, {"Last-Event-ID": "7"}) as stream:
        assert stream.status == 200
        events = [stream.readline() for _ in range(5)]
    assert events[4] == b"id: 8\n"


def test_a_relay_without_that_message_begins_at_the_time_of_the_oldest(web: Web, host: Host) -> None:
    with contextlib.closing(Host()) as second, contextlib.closing(Web(second)) as other:
        there = [envelope("org.example.there", n) for n in range(COUNT)]
        fill(second, there)
        other.start()
        host.write("fedmsg.d/web.py", f"config = {{'relay_web': {[web.url, other.url]!r}}}\n")
        tail = host.start("fedmsg-relay", "tail", "--after", NAME, "--json")
        # 60 s before the time of that message, and each follows a minute later.
        wait_until(lambda: len(bodies(tail)) >= COUNT - 1 + COUNT - 1, "all of both")
        got = bodies(tail)
        assert [body for body in got if b"place" in body][: COUNT - 3] == [body for _, body in MESSAGES[3:]]
        assert [body for body in got if b"there" in body] == [body for _, body in there[1:]]
        assert tail.stop(signal.SIGINT) == 130


def test_a_tail_waits_until_the_relay_with_that_message_can_tell_its_time(host: Host) -> None:
    with contextlib.ExitStack() as stack:
        second, elsewhere = (stack.enter_context(contextlib.closing(Host())) for _ in range(2))
        web, other = (stack.enter_context(contextlib.closing(Web(one))) for one in (host, second))
        fill(second, [envelope("org.example.there", n) for n in range(COUNT)])
        web.start()  # without a journal for now
        other.start()
        wait_until(lambda: other.get("/id", {"id": NAME}).code == 404, "its index is complete")
        host.write("fedmsg.d/web.py", f"config = {{'relay_web': {[web.url, other.url]!r}}}\n")
        tail = host.start("fedmsg-relay", "tail", "--after", NAME, "--json")
        wait_until(lambda: f"{web.url} cannot tell yet when it had {NAME}" in tail.stderr(), "it says so")
        fill(elsewhere, MESSAGES)
        elsewhere.journal_file.replace(host.journal_file)  # all of it at once
        wait_until(lambda: len(bodies(tail)) >= COUNT - 3 + COUNT - 1, "all of both")
        assert tail.stop(signal.SIGINT) == 130


def bodies(tail: Process) -> list[bytes]:
    return [json.loads(line)["body"].encode() for line in tail.stdout().splitlines() if line.endswith("}")]
