"""`/messages` and `/stream` of the web process: history and live are one sequence without a gap, for any client."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from bus import Bus
from fedmsg_relay.web import limits
from harness import wait_until
from messages import envelope, numbered
from served import Web


@pytest.fixture
def bus(submit_bus: Bus) -> Bus:
    return submit_bus


@pytest.fixture
def web(bus: Bus) -> Iterator[Web]:
    with contextlib.closing(Web(bus.host)) as web:
        yield web.start()


def test_messages_after_a_number_come_page_by_page(bus: Bus, web: Web) -> None:
    before = bus.relay.status()["journal"]["last"]
    sent = numbered(25)
    bus.pass_through(sent)
    got, after = [], before
    while page := web.get("/messages", {"after": after, "limit": 10}).body.splitlines():
        answer = web.get("/messages", {"after": after, "limit": 10})
        got += [json.loads(line) for line in page]
        after = int(answer.headers["fedmsg-next"])
    assert [line["body"].encode() for line in got] == [body for _, body in sent]
    assert [line["seq"] for line in got] == list(range(before + 1, before + 26))


def test_messages_of_a_topic_and_the_place_up_to_where_was_looked(bus: Bus, web: Web) -> None:
    bus.pass_through(numbered(5))
    wanted = envelope("org.example.wanted", 1)
    bus.pass_through([wanted, *numbered(5, start=5)])
    answer = web.get("/messages", {"topic": "org.example.wan"})
    assert [json.loads(line)["body"].encode() for line in answer.body.splitlines()] == [wanted[1]]
    assert int(answer.headers["fedmsg-next"]) == bus.relay.status()["journal"]["last"]


def test_a_live_stream_goes_on_after_the_last_event_id(bus: Bus, web: Web) -> None:
    sent = numbered(3)
    bus.pass_through(sent)
    last = bus.relay.status()["journal"]["last"]
    with web.asked("/stream", headers={"Last-Event-ID": str(last - 2)}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [stream.readline() for _ in range(4 + 2 * 3)]
    assert events[4] == b"id: %d\n" % (last - 1)
    assert json.loads(events[5].removeprefix(b"data: "))["body"].encode() == sent[1][1]
    assert events[7] == b"id: %d\n" % last


def test_one_address_leaves_live_streams_to_others(web: Web) -> None:
    def stream(source: str) -> http.client.HTTPResponse:
        answer = streams.enter_context(web.asked("/stream", source=source))
        if answer.status == 200:
            answer.readline()  # it has begun
        return answer

    with contextlib.ExitStack() as streams:
        assert {stream("127.0.0.1").status for _ in range(limits.ADDRESS_STREAMS)} == {200}
        refused = stream("127.0.0.1")
        assert refused.status == 503
        assert json.loads(refused.read())["error"] == "too many live streams of 127.0.0.1: try again"
        others = limits.STREAMS - limits.ADDRESS_STREAMS
        assert {stream("127.0.0.2").status for _ in range(others)} == {200}
        assert stream("127.0.0.3").status == 503
    wait_until(lambda: b"fedmsg_relay_web_streams 0.0" in web.get("/metrics").body, "no stream is left")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"after": 10**9}, 409),
        ({"after": 1, "digest": "00"}, 409),
        ({"after": "2026-unknown"}, 409),
        ({"after": 1, "since": 1}, 400),
        ({"since": "soon"}, 400),
        ({"limit": limits.LINES + 1}, 400),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/messages", "/stream"])
def test_a_place_that_is_not_there_is_refused(bus: Bus, web: Web, path: str, query: dict[str, Any], code: int) -> None:
    bus.pass_through(numbered(3))
    wait_until(lambda: web.get("/id", {"id": "2026-unknown"}).code == 404, "the index is complete")
    assert web.get(path, query).code == code
