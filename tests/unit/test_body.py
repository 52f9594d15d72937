"""A look at a body that may hold anything: the verdict of json.loads, at a bounded cost."""

from __future__ import annotations

import json
import random
import re
import time
import tracemalloc
from collections.abc import Iterator
from itertools import accumulate

import pytest

from costly import DEAR, MIB
from fedmsg_relay import body as look
from fedmsg_relay.message import MAX_MSG_ID, MAX_NESTING, SMALL_BODY, Reason, examine

# The verdict.

PAD = b" " * (SMALL_BODY + 1)
"""Before a small body it makes one that is looked at as large ones are."""

TOKENS = [
    *'[]{},:"\\01-+.eE \n\t\x00\x1f\x7fxé😀',
    *("[", "]", '"', '"', ",", "[1,", '{"a":', '{"msg_id":', '"b"}', '"NaN"', "1}", "null", "true", "false"),
    *("NaN", "Infinity", "-Infinity", "-NaN", "nul", "\\\\", '\\"', "\\n", "\\N", "\\[", "\\u", "\\u0041", "\\u12"),
    *("\\ud800", "\\udc00", "\\uD8", "\\ud", "\\uD041", '"msg_id"', '"msg_\\u0069d"', '"a[]"', '"\\ud800":', "1e999"),
]
VALUES = [
    *('{"msg_id":"a","n":NaN}', '[NaN,Infinity,-Infinity,{"\\ud800":"\\udc00"}]', '{"msg_id":1,"msg_id":"\\u0041"}'),
    *(
        '{"a":{"msg_id":"b"},"msg_id":"2026-c","x":"NaN\\\\","y":"\\"["}',
        '"\\\\\\"[{"',
        '[[],{"":[{}]},"]"]',
        "-0.5e+3",
    ),
    *('{"msg_id":"NaN","a":NaN}', '{"msg_id":"a","\\ud800":1}', '{"msg_id":"\\ud041","a":NaN}', '{"msg_id":["a"]}'),
]


def some_bodies(seed: int, number: int) -> Iterator[bytes]:
    """Bodies that are nearly JSON; many of them are JSON."""
    chance = random.Random(seed)  # noqa: S311 -- the same in each run
    for _ in range(number):
        if chance.random() < 0.5:
            text = "".join(chance.choices(TOKENS, k=chance.randrange(1, 12)))
        else:
            text = chance.choice(VALUES)
            for _ in range(chance.randrange(4)):
                place = chance.randrange(len(text) + 1)
                text = text[:place] + chance.choice(TOKENS) + text[place + chance.randrange(3) :]
        yield text.encode()


def naive_nesting(body: bytes) -> int:
    brackets = re.sub(rb'"(?:[^"\\]|\\.)*("|\\?\Z)', b"", body, flags=re.DOTALL)
    return max(accumulate({"[": 1, "{": 1, "]": -1, "}": -1}.get(chr(byte), 0) for byte in brackets), default=0)


def naive(body: bytes) -> tuple[Reason | None, str | None]:
    """The verdict and the msg_id as they are defined, at whatever cost."""
    if naive_nesting(body) > MAX_NESTING:
        return Reason.TOO_DEEP, None
    try:
        parsed = json.loads(body.decode())
    except ValueError:
        return Reason.BODY_NOT_JSON, None
    msg_id = parsed.get("msg_id") if isinstance(parsed, dict) else None
    is_name = isinstance(msg_id, str) and msg_id.isascii() and len(msg_id) <= MAX_MSG_ID
    return None, msg_id if is_name else None


def judge(body: bytes) -> tuple[Reason | None, str | None]:
    return examine(b"", body, 1 << 30, look.find_msg_id)


@pytest.mark.parametrize("padding", [b"", PAD], ids=["small", "large"])
def test_near_json_is_judged_as_json_loads_does(padding: bytes) -> None:
    well_formed = 0
    for body in some_bodies(seed=len(padding), number=20_000 if not padding else 3_000):
        expected = naive(body)
        found = judge(padding + body)
        well_formed += expected[0] is None
        # In a large body with words that only Python knows, a name with such a word in it is not found.
        unsure = (
            padding
            and expected[1]
            and re.search(rb"NaN|Infinity|\\u[dD]", body)
            and re.search(r"[N\\I[A]", expected[1])
        )
        assert found == expected or (unsure and found == (None, None)), body
    assert well_formed > 300


def test_levels_are_counted_as_brackets_outside_of_strings() -> None:
    chance = random.Random(1)  # noqa: S311 -- the same in each run
    for _ in range(20_000):
        text = "".join(chance.choices('[{[{]}"\\x', k=chance.randrange(40))).encode()
        if text.count(b"\\") and b"\\" in re.sub(rb'"(?:[^"\\]|\\.)*("|\\?\Z)', b"", text, flags=re.DOTALL):
            continue  # outside of strings it is not JSON
        assert look.nesting(text) == max(0, naive_nesting(text)), text


@pytest.mark.parametrize("quotes", [0, 1, 65_535, 65_536, 65_537, 200_001])
def test_strings_are_followed_over_any_length(quotes: int) -> None:
    body = b'""' * quotes + b'["' + b"[" * 100_000 + b'",[["]"]]]'
    assert look.nesting(body) == 3


@pytest.mark.parametrize("shape", ["[%s]", '{"a":%s}', '["\\"[{",%s]'])
@pytest.mark.parametrize("padding", [b"", PAD], ids=["small", "large"])
def test_at_the_limit_of_levels_a_body_is_taken_and_beyond_not(shape: str, padding: bytes) -> None:
    opening, closing = shape.split("%s")
    for depth, reason in ((MAX_NESTING, None), (MAX_NESTING + 1, Reason.TOO_DEEP), (100_000, Reason.TOO_DEEP)):
        assert judge(padding + (opening * depth + "1" + closing * depth).encode())[0] is reason


@pytest.mark.parametrize(
    "body", [b"[" * 901, b"[" * 5000 + b"x", b'{"a":' * 901], ids=lambda body: f"{len(body)} bytes"
)
def test_too_deep_bodies_are_called_so_by_every_python_even_unfinished(body: bytes) -> None:
    assert judge(body)[0] is judge(PAD + body)[0] is Reason.TOO_DEEP


@pytest.mark.parametrize("digits", [look.MAX_DIGITS, look.MAX_DIGITS + 1, 70_000])
@pytest.mark.parametrize("before", ["", "-", "0.", "1e", "1e-", "-1E+", "1.0e"])
@pytest.mark.parametrize("after", ["", ".5", "e1", "E-1"])
def test_as_many_digits_are_taken_as_json_loads_takes(digits: int, before: str, after: str) -> None:
    number = before + "1" * digits + after
    string = json.dumps("1" * digits + '\\"')
    for shape in ("%s", "[%s]", '{"msg_id":"a","b":%s}', f"[{string},%s]", f"[%s,{string}]", f"[{string},{string},%s]"):
        body = (shape % number).encode()
        assert judge(body) == judge(PAD + body) == naive(body), shape
    assert judge(PAD + string.encode()) == (None, None)


def test_a_large_body_is_known_by_its_msg_id_and_by_the_last_of_several() -> None:
    filling = b'"' + b"x" * SMALL_BODY + b'"'
    for rest in (b"1", b"NaN", b'"\\ud800"', b'{"msg_id":"c"}'):
        body = b'{"msg_id":"b","msg_id":"a","f":%s,"g":%s}' % (filling, rest)
        assert judge(body) == (None, "a")
    for value in (b"1", b'"%s"' % (b"x" * 201), b'"\xc3\xa9"', b"null", b"[" + filling + b"]"):
        assert judge(b'{"msg_id":%s,"f":%s}' % (value, filling)) == (None, None)


@pytest.mark.parametrize("cut", range(4))
def test_utf8_is_looked_at_across_all_of_a_large_body(cut: int) -> None:
    body = b'"' + b"x" * (SMALL_BODY - 1 - cut) + "😀".encode() * 50_000 + b'"'
    assert judge(body) == (None, None)
    for broken in (body[:-2] + b'"', body + b"\xff", body[: SMALL_BODY + 1] + b'"'):
        reason = None if broken[:-1].endswith("😀".encode()) else Reason.BODY_NOT_UTF8
        assert judge(broken)[0] is reason


def seconds_to_judge(body: bytes) -> float:
    started = time.process_time()
    judge(body)
    return time.process_time() - started


@pytest.mark.parametrize("kind", DEAR)
def test_a_look_takes_memory_and_time_in_proportion_to_the_body(kind: str) -> None:
    small, large = DEAR[kind](MIB), DEAR[kind](4 * MIB)
    tracemalloc.start()
    try:
        judge(small)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(small) + 8 * MIB
    # Four times the size: four times the time, and whatever else this machine does meanwhile.
    assert seconds_to_judge(large) < 12 * min(seconds_to_judge(small) for _ in range(3)) + 0.1
