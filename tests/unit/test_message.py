"""Admission follows its definition: UTF-8 that json.loads accepts and that stock can bear."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fedmsg_relay import body as look
from fedmsg_relay.message import MAX_NESTING, Reason, fault, find_msg_id

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ALMOST = st.text(alphabet='{}[]":,\\ \n\t01.-+eEuntrflasNIy"', max_size=40)


def oracle(topic: bytes, body: bytes) -> bool:
    """Whether a stock listener gets over it."""
    try:
        topic.decode()
        json.loads(body.decode())
    except ValueError:
        return False
    return True


@given(st.text(), JSON, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_of_every_shape_is_well_formed(topic: str, value: Any, ascii_only: bool, indent: Any) -> None:
    try:
        frames = topic.encode(), json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate, which UTF-8 does not have
    assert fault(*frames) is None


@given(st.binary(max_size=20), st.binary(max_size=200))
@example(b"", b"\xef\xbb\xbf{}")
@example(b"\xff", b"\xff")
def test_any_bytes_are_judged_as_a_stock_listener_would(topic: bytes, body: bytes) -> None:
    assert (fault(topic, body) is None) == oracle(topic, body)


@given(ALMOST)
def test_near_json_is_judged_as_a_stock_listener_would(text: str) -> None:
    assert (fault(b"", text.encode()) is None) == oracle(b"", text.encode())


@given(st.text(max_size=20), JSON, st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_a_damaged_body_is_judged_as_a_stock_listener_would(topic: str, value: Any, place: int, damage: bytes) -> None:
    body = bytearray(json.dumps(value).encode())
    body[place % len(body) : place % len(body)] = damage
    frames = topic.encode(errors="replace"), bytes(body)
    assert (fault(*frames) is None) == oracle(*frames)


@given(st.integers(1, 3000), st.lists(st.sampled_from(["[%s]", '{"a":%s}', '["\\"[{",%s]']), min_size=1))
def test_nesting_up_to_the_limit_is_taken_and_beyond_it_is_not(depth: int, shapes: list[str]) -> None:
    halves = [shapes[level % len(shapes)].split("%s") for level in range(depth)]
    body = "".join(opening for opening, _ in halves) + "1" + "".join(closing for _, closing in reversed(halves))
    assert fault(b"", body.encode()) == (None if depth <= MAX_NESTING else Reason.TOO_DEEP)


@given(st.text(alphabet='[]{}\\"', max_size=3000))
def test_brackets_in_text_are_no_nesting(text: str) -> None:
    assert fault(b"", json.dumps(text).encode()) is None


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    assert fault(b"", b"[" + b"[{}]," * 5000 + b"[]]") is None


@given(st.binary(max_size=50), st.integers(0, 100), st.integers(-3, 3))
def test_the_size_limit_is_for_topic_and_body_together(topic: bytes, size: int, off: int) -> None:
    body = b'"' + b"x" * size + b'"'
    reason = fault(topic, body, max_size=len(topic) + len(body) + off)
    assert (reason is Reason.TOO_LARGE) == (off < 0)


@given(
    st.text()
    | ALMOST
    | JSON.map(json.dumps)
    | ALMOST.map('{{"a": {}, "msg_id": "b"}}'.format)
    | ALMOST.map('{{"a": [{{"b": "{}"}}], "msg_id": "b"}}'.format)
)
@example('{"msg_id": 1}')
@example('{"msg_id": null}')
@example('{"msg_id": "a", "msg_id": "b"}')
@example('{"msg_id": "a", "n": ' + "1" * 5000 + "}")
@example('{"msg_id": "a", "n": ' + "1" * 4000 + "}")
@example('{"n": "\\u12", "msg_id": "a"}')
@example('{"n": "\x1f", "msg_id": "a"}')
@example("NaN")
@example("[1e999, -Infinity, 12345678901234567890123]")
@example('"\\ud800"')
@example('{"a": 1, "a": 2}')
@example("\ufeff{}")
@example("[1,]")
@example('"\t"')
@example("1" * 5000)
def test_the_search_for_msg_ids_accepts_the_same_json_as_json_loads(text: str) -> None:
    def outcome(find: Callable[[bytes], object]) -> object:
        try:
            return find(text.encode(errors="surrogatepass"))
        except (ValueError, RecursionError):
            return "refused"

    assert repr(outcome(look.find_msg_id)) == repr(outcome(find_msg_id))
