"""History over HTTP, as datagrepper answers it: the real web process beside a real relay."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bus import Bus
from fedmsg_relay.message import MAX_NESTING, fault
from fedmsg_relay.web import limits
from harness import PATIENCE, Host, wait_until
from messages import envelope, numbered
from served import START, Web, fill, peak_bytes

HOUR = 3600
TOPICS = ("org.example.test.git.receive", "org.example.test.git.branch", "org.example.test.wiki.edit")


def message(number: int) -> tuple[bytes, bytes]:
    topic = TOPICS[number % 3]
    body = {"topic": topic, "msg": {"n": number}, "msg_id": f"2026-{number}", "timestamp": START + 60 * number, "i": 1}
    return topic.encode(), json.dumps(body).encode()


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with contextlib.closing(Host()) as host:
        fill(host, [message(number) for number in range(300)])
        with contextlib.closing(Web(host)) as web:
            yield web.start()


def found(web: Web, **query: Any) -> list[int]:
    return [one["msg"]["n"] for one in web.json("/raw", **query)["raw_messages"]]


def test_without_parameters_the_newest_25_come_first(web: Web) -> None:
    answer = web.json("/raw")
    assert [one["msg"]["n"] for one in answer["raw_messages"]] == list(range(299, 274, -1))
    assert (answer["count"], answer["total"], answer["pages"]) == (25, 300, 12)
    assert (answer["arguments"]["order"], answer["arguments"]["rows_per_page"]) == ("desc", 25)


def test_pages_have_every_message_once(web: Web) -> None:
    pages = [found(web, order="asc", rows_per_page=70, page=page) for page in range(1, 7)]
    assert list(map(len, pages)) == [70, 70, 70, 70, 20, 0]
    assert [number for page in pages for number in page] == list(range(300))


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"start": START + 600, "end": START + 660}, [10, 11]),
        ({"start": START + 601, "end": START + 719.5}, [11]),
        ({"start": START + 600, "delta": 120}, [10, 11, 12]),
        ({"end": START + 660, "delta": 60}, [10, 11]),
        ({"end": START + 1200}, list(range(10, 21))),
        ({"start": "2026-09-21T14:23:20", "end": "2026-09-21T14:24:20+00:00"}, [10, 11]),
        ({"start": "2026-09-21T16:23:20+02:00", "delta": 0}, [10]),
        ({"start": START + 300 * 60}, []),
        ({"start": START + 660, "end": START + 600}, []),
    ],
    ids=str,
)
def test_a_window_of_time(web: Web, window: dict[str, Any], expected: list[int]) -> None:
    assert found(web, order="asc", rows_per_page=100, **window) == expected


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"topic": TOPICS[0]}, {0}),
        ({"topic": [TOPICS[0], TOPICS[2]]}, {0, 2}),
        ({"category": "wiki"}, {2}),
        ({"category": ["wiki", "git"], "not_topic": TOPICS[1]}, {0, 2}),
        ({"not_category": "git"}, {2}),
        ({"topic": TOPICS[0], "category": "wiki"}, set()),
    ],
    ids=str,
)
def test_topics_and_categories(web: Web, filters: dict[str, Any], wanted: set[int]) -> None:
    answer = web.json("/v2/search", order="asc", rows_per_page=100, **filters)
    expected = [number for number in range(300) if number % 3 in wanted]
    assert [one["msg"]["n"] for one in answer["raw_messages"]] == expected[:100]
    assert answer["total"] == len(expected)
    assert "continue" not in answer


def test_contains_searches_bodies(web: Web) -> None:
    assert found(web, contains='"n": 29', category="git", order="asc") == [
        number for number in range(300) if '"n": 29' in f'"n": {number}' and number % 3 != 2
    ]


@pytest.mark.parametrize("path", ["/id", "/v2/id", "/raw/id"])
def test_a_message_by_its_msg_id_is_its_body_byte_for_byte(web: Web, path: str) -> None:
    assert web.get(path, {"id": "2026-123"}).body == message(123)[1]
    assert web.get(path, {"id": "2026-1230"}).code == 404
    assert web.get(path).code == 400


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"user": "ralph"}, "user needs fedmsg.meta"),
        ({"package": "nethack"}, "package needs fedmsg.meta"),
        ({"agent": "ralph"}, "agent needs fedmsg.meta"),
        ({"not_user": "ralph"}, "not_user needs fedmsg.meta"),
        ({"meta": "title"}, "meta needs fedmsg.meta"),
        ({"callback": "f"}, "callback is not offered"),
        ({"rows_per_page": 101}, "rows_per_page must be a whole number from 1 to 100"),
        ({"topic": "x" * limits.REQUEST_BYTES}, "more than 16384 bytes"),
        ({"page": 0}, "page must be"),
        ({"page": "9" * 30}, "page must be"),
        ({"order": "up"}, "order must be asc or desc"),
        ({"start": "yesterday"}, "start must be Unix seconds or ISO 8601"),
        ({"start": "nan"}, "start is out of range"),
        ({"end": 1e300}, "end is out of range"),
        ({"delta": -1}, "delta must be a number of seconds"),
        ({"contains": "x"}, "contains needs a topic or a category"),
        ({"topik": "x"}, "unknown parameter 'topik'"),
        ({"start": [1, 2]}, "start is given 2 times"),
        ({"topic": ["x"] * 200}, "more than 100 parameters"),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_answered_is_refused(web: Web, query: dict[str, Any], said: str) -> None:
    answer = web.get("/raw", query)
    assert answer.code == 400
    assert said in answer.json()["error"]


def test_other_methods_and_paths_are_refused(web: Web) -> None:
    assert web.get("/raw", method="POST").code == 405
    assert web.get("/elsewhere").code == 404


def test_bodies_are_handed_out_byte_for_byte_and_only_envelopes(host: Host) -> None:
    odd = (
        b'{"topic":"t","msg_id":"2026-x","timestamp":1.50, "msg":{"a":1e400,"a":NaN,"\\ud800":"\\/"} , "n":%d}' % 10**22
    )
    others = [b"42", b'"text"', b"[]", b'{"topic":"t"}', b'{"topic":1,"msg_id":"2026-y","timestamp":1}', b"null"]
    fill(host, [(b"t", body) for body in [*others, odd]])
    with contextlib.closing(Web(host)) as web:
        answer = web.start().get("/raw")
        assert odd in answer.body
        assert answer.json()["count"] == 1
        assert web.get("/id", {"id": "2026-x"}).body == odd


def test_a_search_ends_at_its_bound_and_can_be_continued(host: Host) -> None:
    count = limits.SCANNED_ROWS + 10
    topic = b"org.example.test.rare.one"
    bodies = [(b"org.example.test.usual.one", b"0")] * count
    for place in (3, count - 3):
        bodies[place] = (topic, b'{"topic":"%s","msg_id":"2026-%d","timestamp":1}' % (topic, place))
    fill(host, bodies)
    with contextlib.closing(Web(host)) as web:
        query = {"topic": topic.decode(), "order": "desc"}
        seen, answer = [], web.start().json("/raw", **query)
        while True:
            seen += [one["msg_id"] for one in answer["raw_messages"]]
            if "continue" not in answer:
                break
            assert answer["complete"] is False
            answer = web.json("/raw", **query, **answer["continue"])
        assert seen == [f"2026-{count - 3}", "2026-3"]


def test_a_damaged_message_is_not_handed_out(host: Host) -> None:
    fill(host, [message(number) for number in range(3)])
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db, db:
        db.execute("UPDATE block SET bodies = CAST(replace(bodies, '1', '2') AS BLOB) WHERE first = 2")
    with contextlib.closing(Web(host)) as web:
        web.start()
        assert found(web, order="asc") == [0, 2]
        assert web.get("/id", {"id": "2026-1"}).code == 404


def test_each_message_is_found_and_the_relay_notices_no_web_process(bus: Bus) -> None:
    with contextlib.closing(Web(bus.host)) as web:
        web.start()
        sent = numbered(500)
        bus.publisher.send_all(sent)
        bus.listener.wait_for(sent[-1])
        for _, body in (sent[0], sent[-1]):
            assert web.get("/id", {"id": json.loads(body)["msg_id"]}).body == body
        assert web.json("/raw", start=time.time() - 60)["total"] >= 500
        assert web.running.stop(signal.SIGTERM) == 0
        web.start()
        web.running.kill()
        last = envelope("org.example.test.after", 1)
        bus.publisher.send(*last)
        bus.listener.wait_for(last)
        bus.relay.messages()


def test_without_a_journal_it_answers_503_and_begins_when_there_is_one(host: Host) -> None:
    with contextlib.closing(Web(host)) as web:
        answer = web.start().get("/raw")
        assert (answer.code, "journal" in answer.json()["error"]) == (503, True)
        fill(host, [message(0)])
        assert found(web) == [0]
        wait_until(lambda: web.get("/id", {"id": "2026-0"}).code == 200, "the new journal is found")


def test_an_address_that_is_taken_is_one_line(host: Host) -> None:
    with contextlib.closing(Web(host)) as web, socket.create_server(("127.0.0.1", web.port)):
        ran = host.run("fedmsg-relay", "web", "--settings", host.settings_file)
    assert ran.code == 69
    assert f"cannot listen at tcp://127.0.0.1:{web.port}: Address already in use" in ran.one_error_line()


def test_without_the_extra_the_command_says_what_to_install(host: Host) -> None:
    host.write("without/uvicorn.py", "raise ModuleNotFoundError(name='uvicorn')\n")
    ran = host.run("fedmsg-relay", "web", env={"PYTHONPATH": str(host.directory / "without")})
    assert ran.code == 78
    assert "the web process needs uvicorn, which is not installed" in ran.one_error_line()


def test_a_client_that_sends_nothing_is_cut(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), PATIENCE) as silent:
        silent.sendall(b"GET /raw HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        assert silent.recv(1) == b""
        assert time.monotonic() - began > limits.REQUEST_SECONDS / 2


def test_clients_that_do_not_read_cost_little_memory(host: Host) -> None:
    body = b'{"topic":"t","msg_id":"2026-%d","timestamp":1,"msg":"%s"}'
    fill(host, [(b"t", body % (number, b"x" * 1_000_000)) for number in range(100)])
    with contextlib.closing(Web(host)) as web, contextlib.ExitStack() as stack:
        web.start()
        for _ in range(60):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", web.port), PATIENCE))
            client.sendall(b"GET /raw?rows_per_page=100 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        assert len(web.get("/id", {"id": "2026-7"}).body) > 1_000_000
        assert peak_bytes(web) < 400 * 1024 * 1024


def test_a_body_nested_as_deep_as_the_relay_takes_is_handed_out(host: Host) -> None:
    nested = b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1)
    deep = b'{"topic":"t","msg_id":"2026-deep","timestamp":1,"msg":%s}' % nested
    assert fault(b"t", deep) is None
    fill(host, [(b"t", deep)])
    with contextlib.closing(Web(host)) as web:
        assert deep in web.start().get("/raw").body
        assert web.get("/message/1").code == web.get("/messages").code == 200


def test_an_answer_amid_which_the_journal_breaks_is_cut_and_not_ended(host: Host) -> None:
    body = b'{"topic":"t","msg_id":"2026-%d","timestamp":1,"msg":"%s"}'
    fill(host, [(b"t", body % (number, b"x" * 1_000_000)) for number in range(100)])
    with contextlib.closing(Web(host)) as web:
        with web.start().asked("/messages") as answer:
            answer.read(100)
            for file in host.journal_file.parent.iterdir():
                file.unlink()
            host.journal_file.write_bytes(b"not a journal" * 10_000)
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        assert "Traceback" not in web.running.stderr()
        assert "an answer is cut: journal" in web.running.stderr()


def test_a_large_message_is_handed_out_byte_for_byte(host: Host) -> None:
    """It is sent in parts, the ends of which are amid its characters."""
    odd = '"\u20ac\\"\U0001f600\x7f'.encode()
    topic = b"t\xff" + odd * (limits.CHUNK_BYTES // 10)
    bodies = [
        json.dumps({"topic": "t", "msg_id": f"2026-{n}", "timestamp": 1, "msg": "\u20ac" * size}, ensure_ascii=False)
        for n, size in enumerate([1, limits.CHUNK_BYTES // 3, limits.CHUNK_BYTES, 10])
    ]
    sent = [(topic if n == 3 else b"t", body.encode()) for n, body in enumerate(bodies)]
    fill(host, sent)
    with contextlib.closing(Web(host)) as web:
        lines = [json.loads(line) for line in web.start().get("/messages").body.splitlines()]
        texts = [tuple(frame.decode(errors="backslashreplace") for frame in message) for message in sent]
        assert [(line["topic"], line["body"]) for line in lines] == texts
        assert [line["seq"] for line in lines] == [1, 2, 3, 4]
        assert web.get("/raw?order=asc").body.startswith(b'{"raw_messages": [' + b", ".join(body for _, body in sent))
        assert web.get("/id", {"id": "2026-2"}).body == sent[2][1]


def test_a_large_message_that_goes_while_it_is_sent_is_cut_and_not_another_one(host: Host) -> None:
    large = b'{"topic":"t","msg_id":"2026-1","timestamp":1,"msg":"%s"}' % (b"x" * 20_000_000)
    fill(host, [(b"t", large)])
    with contextlib.closing(Web(host)) as web, contextlib.closing(Host()) as elsewhere:
        fill(elsewhere, [(b"t", large + b" ")])
        with web.start().asked("/messages") as answer:
            answer.read(100)
            elsewhere.journal_file.replace(host.journal_file)
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        assert "the journal does not have message 1 any more" in web.running.stderr()
