"""The page shows a message, however strange, as bounded text that cannot pass for anything else."""

from __future__ import annotations

import json

import pytest

from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import limits, view


def shown(body: bytes) -> view.Shown:
    return view.shown(Record(1, 1_700_000_000_000_000, "2026-1", b"org.example", body))


def test_json_is_indented() -> None:
    assert shown(b'{"a": [1, {"b": "\\u202e"}]}').body.splitlines()[:3] == ["{", '  "a": [', "    1,"]
    assert "\\u202e" in shown(b'{"a": "\\u202e"}').body


@pytest.mark.parametrize("depth", [400, 5000])
def test_values_that_are_nested_deep_are_not_blown_up(depth: int) -> None:
    numbers = ",".join("1" * 50_000)
    body = b"[" * depth + numbers.encode() + b"]" * depth
    assert len(body) < limits.SHOWN_BYTES
    assert shown(body).body == body.decode()


def test_a_large_body_shows_its_beginning() -> None:
    body = json.dumps({"x": "y" * limits.SHOWN_BYTES}).encode()
    found = shown(body)
    assert found.cut
    assert found.body == body[: limits.SHOWN_BYTES].decode()


def test_a_long_topic_is_cut_and_says_so() -> None:
    topic = b"org.example." + b"x" * limits.SHOWN_TOPIC_BYTES
    found = view.line(Record(1, 1, None, topic, b"{}"))
    assert found.topic == topic[: limits.SHOWN_TOPIC_BYTES].decode() + "... (cut)"
    whole = topic[: limits.SHOWN_TOPIC_BYTES]
    assert view.line(Record(1, 1, None, whole, b"{}")).topic == whole.decode()
