"""Messages of the journal as messages of AMQP, and back: the table of docs/bridge.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedmsg_relay.bridge import mapping
from fedmsg_relay.bridge.mapping import ENVELOPE, RELAY, SEQ, FromBroker, Outgoing, Reason, outgoing
from fedmsg_relay.bridge.restoring import Bad, Delivery, restore
from fedmsg_relay.journal.records import Record

TIME = 1_790_000_000_000_000
JOURNALED = "2026-09-21T14:13:20+00:00"
RECORDED = Path(__file__).parents[1] / "data/bridge-stock.json"
PAGE = Path(__file__).parents[2] / "docs/bridge.md"


def record(body: bytes, topic: bytes = b"org.example.a", msg_id: str | None = "2026-x", seq: int = 7) -> Record:
    return Record(seq, TIME, msg_id, topic, body)


def sent(body: bytes, topic: bytes = b"org.example.a", msg_id: str | None = "2026-x") -> Outgoing:
    found = outgoing(record(body, topic, msg_id), "relay-1")
    assert isinstance(found, Outgoing), found
    return found


def envelope(**fields: Any) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


WHOLE = envelope(
    certificate="Q0E=\n",
    crypto="x509",
    i=3,
    msg={"n": 1},
    msg_id="2026-x",
    signature="U0k=\n",
    timestamp=1_700_000_000,
    topic="org.example.a",
    username="alice",
)


def test_a_message_as_stocks_bridge_makes_it() -> None:
    found = sent(WHOLE)
    assert (found.routing_key, found.message_id, found.body) == ("org.example.a", "2026-x", b'{"n":1}')
    ours = {name: found.headers.pop(name) for name in (RELAY, SEQ, ENVELOPE)}
    assert found.headers == {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_schema_package": "fedora_messaging",
        "fedora_messaging_severity": 20,
        "priority": 0,
        "sent-at": "2023-11-14T22:13:20+00:00",
    }
    assert (ours[RELAY], ours[SEQ]) == ("relay-1", 7)
    assert {**json.loads(ours[ENVELOPE]), "msg": {"n": 1}} == json.loads(WHOLE)


@pytest.mark.parametrize("vector", json.loads(RECORDED.read_text()))
def test_the_same_as_the_real_bridge_of_stock_makes(vector: dict[str, Any]) -> None:
    """As support/stock_bridge.py has recorded it. Its ``sent-at`` is its clock."""
    whole, made = json.loads(vector["body"]), vector["made"]
    found = outgoing(record(vector["body"].encode(), vector["topic"].encode(), whole["msg_id"]), "relay-1")
    if made is None:
        assert isinstance(found, FromBroker) or found is Reason.NO_ENVELOPE
        return
    assert (made["content_type"], made["content_encoding"], made["delivery_mode"]) == ("application/json", "utf-8", 2)
    if not isinstance(json.loads(made["body"]), dict):  # no consumer of fedora-messaging can read that
        assert found is Reason.MSG_NOT_AN_OBJECT
        return
    assert isinstance(found, Outgoing)
    assert (found.routing_key, found.message_id) == (made["routing_key"], made["message_id"])
    assert json.loads(found.body) == json.loads(made["body"])
    ours = {"sent-at", RELAY, SEQ, ENVELOPE}
    assert {name: value for name, value in found.headers.items() if name not in ours} == made["headers"]


@pytest.mark.parametrize(
    ("msg", "body"),
    [
        (b'{"a": 1.10, "b": "\xc3\xa4", "c":[ ]}', b'{"a": 1.10, "b": "\xc3\xa4", "c":[ ]}'),
        (b"{}", b"{}"),
        *((false, b"{}") for false in (b"null", b"false", b'""', b"[]", b"[ ]", b"0", b"-0", b"0.0", b"0e5")),
    ],
)
def test_the_body_is_the_bytes_of_msg_or_an_empty_object(msg: bytes, body: bytes) -> None:
    assert sent(b'{"msg_id":"2026-x", "msg": %s, "topic":"t"}' % msg).body == body


@pytest.mark.parametrize("msg", [b"1", b'"x"', b"[1]", b"true", b"0.1", b'"{}"'])
def test_a_msg_that_is_not_an_object_is_set_aside(msg: bytes) -> None:
    assert outgoing(record(b'{"msg":%s}' % msg), "r") is Reason.MSG_NOT_AN_OBJECT


@pytest.mark.parametrize("body", [b"[]", b"null", b'"msg"', b"1", b"{}", b'{"topic":"t"}'])
def test_a_body_that_is_not_an_envelope_is_set_aside(body: bytes) -> None:
    assert outgoing(record(body), "r") is Reason.NO_ENVELOPE


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", r'"\ud800"'])
def test_unusual_json_is_sent_unless_it_is_large(word: str) -> None:
    body = b'{"msg":{"a":%s},"msg_id":"2026-x"}' % word.encode()
    assert json.loads(sent(body).body.replace(b"NaN", b"null")) is not None
    large = body.replace(b'{"a"', b'{"pad":"%s","a"' % (b"x" * mapping.UNUSUAL_BYTES))
    assert outgoing(record(large), "r") is Reason.UNUSUAL_JSON


@pytest.mark.parametrize("stated", ["0", "-5", "1e300", '"yesterday"', "null", "{}", "[1]", "true", "9" * 50])
def test_sent_at_is_the_journals_time_where_the_envelope_has_none(stated: str) -> None:
    assert sent(b'{"msg":{},"timestamp":%s}' % stated.encode()).headers["sent-at"] == JOURNALED


def test_sent_at_is_the_time_of_the_envelope() -> None:
    for stated in (b"1700000000", b"1700000000.75"):
        assert sent(b'{"msg":{},"timestamp":%s}' % stated).headers["sent-at"] == "2023-11-14T22:13:20+00:00"


def test_a_message_without_a_name_gets_the_same_at_every_try() -> None:
    body = b'{"msg":{}}'
    one, again = sent(body, msg_id=None).message_id, sent(body, msg_id=None).message_id
    assert one == again
    assert re.fullmatch(r"2026-[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", one)
    other = outgoing(record(body, msg_id=None, seq=8), "relay-1")
    assert isinstance(other, Outgoing)
    assert other.message_id != one


def test_topics() -> None:
    assert sent(WHOLE, b"").routing_key == ""
    assert sent(WHOLE, "a.#.*.ä".encode()).routing_key == "a.#.*.ä"
    assert sent(WHOLE, b"x" * 255).routing_key == "x" * 255
    assert outgoing(record(WHOLE, b"x" * 256), "r") is Reason.TOPIC_TOO_LONG


def test_a_damaged_message_is_set_aside() -> None:
    assert outgoing(record(WHOLE)._replace(intact=False), "r") is Reason.DAMAGED


def test_what_came_from_a_bridge_is_not_sent_back() -> None:
    assert isinstance(outgoing(record(envelope(msg={}, username="amqp-bridge")), "r"), FromBroker)


HEADERS = {"CC": ["a", "b"], "BCC": "x", "x-match": "all", "x-fedmsg-relay": "other", "user_id": "root", "f": 1.5}


def test_nothing_of_the_senders_becomes_a_header() -> None:
    found = sent(envelope(msg={}, headers=HEADERS, **HEADERS))
    known = {"sent-at", RELAY, SEQ, ENVELOPE, "priority"}
    assert {name for name in found.headers if not name.startswith("fedora_messaging_")} == known
    assert found.headers[RELAY] == "relay-1"
    assert all(isinstance(value, (str, int)) for value in found.headers.values())


def test_an_envelope_too_large_for_a_header_is_left_out() -> None:
    for more in ({"pad": "x" * mapping.ENVELOPE_BYTES}, {f"k{n}": n for n in range(10_000)}, {"x" * 40_000: 1}):
        found = sent(envelope(msg={"n": 1}, **more))
        assert ENVELOPE not in found.headers
        assert found.body == b'{"n":1}'


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        envelope(msg={"deep": [{"n": 1.5}, "ä"]}, msg_id="2026-x", topic="t"),
        envelope(msg=[], msg_id="2026-x", topic="t"),
        envelope(msg=None, msg_id="2026-x"),
        envelope(msg={}, headers={"a": "b"}, msg_id="2026-x", zz=[1, 2]),
    ],
)
def test_another_bridge_restores_the_very_bytes(body: bytes) -> None:
    found = sent(body)
    delivery = Delivery(found.routing_key, found.message_id, found.headers, found.body)
    assert restore(delivery, 0.0, None) == (b"org.example.a", body)


def test_a_message_of_fedora_messaging_gets_stocks_envelope() -> None:
    headers = {"sent-at": "2025-12-31T23:59:59+00:00", "fedora_messaging_severity": 20}
    delivery = Delivery("org.example.b", "0b5f9ddc", headers, b'{"b": 1, "a": [2]}')
    assert restore(delivery, 0.0, None) == (
        b"org.example.b",
        b'{"i":1,"msg":{"a":[2],"b":1},"msg_id":"2025-0b5f9ddc","timestamp":1767225599,"topic":"org.example.b",'
        b'"username":"amqp-bridge"}',
    )


def test_a_name_with_a_year_keeps_it() -> None:
    found = restore(Delivery("t", "2024-abc", {}, b"{}"), 1_700_000_000.0, None)
    assert isinstance(found, tuple)
    assert json.loads(found[1])["msg_id"] == "2024-abc"


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (Delivery("t", None, {}, b"{}"), Bad.NO_MESSAGE_ID),
        (Delivery("t", "", {}, b"{}"), Bad.NO_MESSAGE_ID),
        (Delivery("t", "x" * 300, {}, b"{}"), Bad.NO_MESSAGE_ID),
        (Delivery("t", "ä", {}, b"{}"), Bad.NO_MESSAGE_ID),
        (Delivery("t", b"\xff", {}, b"{}"), Bad.NO_MESSAGE_ID),
        (Delivery(b"t.\xff", "x", {}, b"{}"), Bad.TOPIC_NOT_UTF8),
        (Delivery("t", "x", {}, b"no json"), Bad.NOT_JSON),
        (Delivery("t", "x", {}, b"\xff"), Bad.NOT_JSON),
        (Delivery("t", "x", {}, b"[" * 100_000), Bad.NOT_JSON),
        (Delivery("t", "x", {}, b'"%s"' % (b"x" * 2**24)), Bad.TOO_LARGE),
        (Delivery("t", "x", {}, b'"%s"' % ("ä" * 3_000_000).encode()), Bad.TOO_LARGE),
        (Delivery("t", "x", {}, b"[%s0]" % (b"0," * 1_100_000)), Bad.TOO_LARGE),
    ],
)
def test_what_cannot_be_a_message_of_fedmsg(delivery: Delivery, reason: Bad) -> None:
    assert restore(delivery, 0.0, None) is reason


@pytest.mark.parametrize(
    "header",
    [
        "no json",
        "[]",
        '{"msg_id":"another"}',
        '{"msg_id":"x"',
        5,
        b"{}",
        "{" * 50_000,
        '{"a":1,"msg_id":"x"}' + " " * 40_000,
    ],
)
def test_a_header_that_cannot_be_the_envelope_is_not_believed(header: object) -> None:
    found = restore(Delivery("t", "x", {ENVELOPE: header}, b'{"n":1}'), 1.0, None)
    assert isinstance(found, tuple)
    assert json.loads(found[1])["username"] == "amqp-bridge"


@pytest.mark.parametrize("sent_at", ["never", 5, None, "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+00:00"])
def test_a_sent_at_that_cannot_be_read_is_not_believed(sent_at: object) -> None:
    found = restore(Delivery("t", "x", {"sent-at": sent_at}, b"{}"), 1_700_000_000.0, None)
    assert isinstance(found, tuple)
    assert json.loads(found[1])["timestamp"] == 1_700_000_000


def test_a_message_of_an_impossible_time_is_of_1970() -> None:
    found = restore(Delivery("t", "x", {}, b"{}"), 2.0**64, None)
    assert isinstance(found, tuple)
    assert json.loads(found[1])["msg_id"] == "1970-x"


def test_the_reasons_in_the_docs() -> None:
    table = PAGE.read_text().split("| reason | |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE) == [str(reason) for reason in Reason]
