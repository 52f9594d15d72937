"""The protocol of submit: what is written is read, what anybody else writes is not, and batches keep their bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmsg_relay import submit
from fedmsg_relay.network.request import Inquiry, Request, read_request

counts = st.integers(0, 2**63 - 1)
identities = st.text("abc-é 1", min_size=1, max_size=submit.MAX_IDENTITY)
replies = st.one_of(
    st.builds(
        lambda ends, duplicates: submit.Accepted(min(ends), max(ends), duplicates), st.tuples(counts, counts), counts
    ),
    st.builds(submit.Refused, st.sampled_from(submit.CODES), st.text()),
    st.builds(submit.Busy, st.floats(0, 1e12)),
    st.builds(
        submit.Introduction, st.lists(identities, min_size=1, max_size=submit.MAX_CHAIN), st.booleans(), st.booleans()
    ),
)
messages = st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=20)), max_size=30)


def read(body: bytes) -> submit.Reply | None:
    return submit.read_reply([b"", submit.VERSION, body])


@given(replies)
def test_a_reply_is_read_as_it_was_written(reply: submit.Reply) -> None:
    found = read(reply.encode())
    assert type(found) is type(reply)
    assert vars(found) == vars(reply)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=5)
            | st.sampled_from(["accepted", "busy"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["status", "seq", "duplicates", "reason", "retry_after", "chain", "complete", "heard"]
                    ),
                    inner,
                )
            ),
        ).map(lambda found: json.dumps(found).encode()),
    )
)
def test_an_answer_is_a_whole_reply_or_does_not_count(body: bytes) -> None:
    reply = read(body)
    if reply is not None:
        assert vars(read(reply.encode())) == vars(reply)


@pytest.mark.parametrize(
    "body",
    [
        b'{"status": "accepted", "seq": [true, true], "duplicates": 0}',
        b'{"status": "accepted", "seq": [2, 1], "duplicates": 0}',
        b'{"status": "accepted", "seq": [-1, 1], "duplicates": 0}',
        b'{"status": "accepted", "seq": [1, 1, 1], "duplicates": 0}',
        b'{"status": "accepted", "seq": [1, 1' + b"0" * 5000 + b'], "duplicates": 0}',
        b'{"status": "accepted", "seq": [1, 1], "duplicates": null}',
        b'{"status": "refused", "reason": "Too Large"}',
        b'{"status": "refused", "reason": ""}',
        b'{"status": "busy", "retry_after": Infinity}',
        b'{"status": "busy", "retry_after": true}',
        b'{"status": "relay", "chain": ["a\\u001b[2J"], "complete": true, "heard": true}',
        b'{"status": "relay", "chain": ["\\ud800"], "complete": true, "heard": true}',
        b'{"status": "relay", "chain": [""], "complete": true, "heard": true}',
        b'{"status": "relay", "chain": [], "complete": 1, "heard": true}',
        '{"status": "busy", "retry_after": 1}'.encode("utf-16"),
        b"[" * 100_000,
    ],
)
def test_a_reply_that_the_protocol_does_not_have_is_not_read(body: bytes) -> None:
    assert read(body) is None


@pytest.mark.parametrize("frames", [[], [b"{}"], [b"", b"FMR1"], [b"", b"FMR2", b"{}"], [b"x", b"FMR1", b"{}"]])
def test_a_reply_in_other_frames_is_not_read(frames: list[bytes]) -> None:
    assert submit.read_reply(frames) is None


@given(messages, st.integers(1, 5), st.integers(1, 30))
def test_batches_hold_all_messages_in_order_and_as_many_as_fit(
    messages: list[tuple[bytes, bytes]], max_messages: int, max_bytes: int
) -> None:
    found = list(submit.batches(messages, max_messages, max_bytes))
    assert [message for batch in found for message in batch] == messages
    sizes = [sum(len(topic) + len(body) for topic, body in batch) for batch in found]
    assert all(1 <= len(batch) <= max_messages for batch in found)
    assert all(size <= max_bytes or len(batch) == 1 for batch, size in zip(found, sizes, strict=True))
    for batch, size, following in zip(found, sizes, found[1:], strict=False):
        topic, body = following[0]
        assert len(batch) == max_messages or size + len(topic) + len(body) > max_bytes


@given(messages.filter(bool), st.booleans())
def test_a_request_is_read_as_it_was_written(messages: list[tuple[bytes, bytes]], forwarded: bool) -> None:
    request = read_request(submit.write_request(messages, forwarded=forwarded))
    assert vars(request) == vars(Request([b""], messages, forwarded))


def test_an_inquiry_is_read_as_it_was_written() -> None:
    inquiry = read_request(submit.write_inquiry(b"topic"))
    assert vars(inquiry) == vars(Inquiry([b""], b"topic"))
