"""ZMTP as inbound and submit speak it: messages come out whole however their bytes arrive, and nothing is kept."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmsg_relay.network import zmtp
from fedmsg_relay.runtime import limits

MAX_BYTES, MAX_FRAMES, CUT_BYTES = 1000, 4, 5000

frames = st.lists(st.binary(max_size=400), min_size=1, max_size=6)


def on_the_wire(message: list[bytes], version: int) -> bytes:
    """A message as RFC 13 and 23 have it, written here once more and not by the code under test."""
    out = b""
    for number, body in enumerate(message):
        more = number < len(message) - 1
        if version == 1:
            size = len(body) + 1
            out += (struct.pack(">B", size) if size < 255 else b"\xff" + struct.pack(">Q", size)) + bytes([more]) + body
        elif len(body) > 255:
            out += struct.pack(">BQ", 2 | more, len(body)) + body
        else:
            out += struct.pack(">BB", more, len(body)) + body
    return out


def split(chunks: list[bytes], version: int) -> tuple[list[zmtp.Message], zmtp.Splitter]:
    splitter = zmtp.Splitter(version)
    found: list[zmtp.Message] = []
    for chunk in chunks:
        found += splitter.feed(chunk, MAX_BYTES, MAX_FRAMES, CUT_BYTES)
    return found, splitter


def expected(message: list[bytes]) -> list[bytes] | tuple[int, int]:
    """The message, or of one that is not kept its bytes and frames."""
    size = sum(map(len, message))
    return message if size <= MAX_BYTES and len(message) <= MAX_FRAMES else (size, len(message))


def shown(message: zmtp.Message) -> list[bytes] | tuple[int, int]:
    return (message.size, message.frames) if isinstance(message, zmtp.Oversize) else message


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 300), min_size=1), st.sampled_from([1, 2, 3]))
@settings(max_examples=500)
def test_messages_come_out_whole_however_their_bytes_arrive(
    messages: list[list[bytes]], cuts: list[int], version: int
) -> None:
    data = b"".join(on_the_wire(message, version) for message in messages)
    chunks, position, number = [], 0, 0
    while position < len(data):
        chunks.append(data[position : position + cuts[number % len(cuts)]])
        position, number = position + len(chunks[-1]), number + 1
    found, splitter = split(chunks, version)
    assert [shown(message) for message in found] == [expected(message) for message in messages]
    assert splitter.held == 0
    assert not splitter.fault


@given(st.lists(st.binary(max_size=60)), st.sampled_from([1, 2, 3]))
def test_random_bytes_end_in_messages_or_a_protocol_fault(chunks: list[bytes], version: int) -> None:
    _, splitter = split(chunks, version)
    assert splitter.held <= MAX_BYTES + sum(map(len, chunks))


@given(frames, st.sampled_from([1, 2, 3]))
def test_records_that_are_written_can_be_read(message: list[bytes], version: int) -> None:
    assert zmtp.encode(message, version) == on_the_wire(message, version)


def test_a_ping_between_frames_of_a_message_is_answered_with_its_context() -> None:
    ping = b"\x04\x0a\x04PING\x00\x64ctx"
    ping = ping[:1] + bytes([len(ping) - 2]) + ping[2:]
    topic, body = on_the_wire([b"topic", b"{}"], 3)[:7], on_the_wire([b"{}"], 3)
    found, splitter = split([topic, ping[:4], ping[4:] + body], 3)
    assert found == [[b"topic", b"{}"]]
    assert bytes(splitter.output) == b"\x04\x08\x04PONGctx"


@pytest.mark.parametrize("version", [2, 3])
def test_a_message_that_never_ends_is_not_kept_and_then_cut(version: int) -> None:
    more = on_the_wire([bytes(300), b""], version)[:-2]
    splitter = zmtp.Splitter(version)
    sent = 0
    while not splitter.fault and sent < 10 * CUT_BYTES:
        splitter.feed(more, MAX_BYTES, MAX_FRAMES, CUT_BYTES)
        sent += len(more)
        assert splitter.held <= MAX_BYTES
    assert "more than 5000 bytes" in splitter.fault


def test_a_message_of_empty_frames_without_end_is_cut() -> None:
    splitter = zmtp.Splitter(3)
    splitter.feed(b"\x01\x00" * (2 * limits.MAX_FRAMES), MAX_BYTES, MAX_FRAMES, CUT_BYTES)
    assert f"more than {limits.MAX_FRAMES} frames" in splitter.fault
    assert splitter.held == 0


def test_a_frame_of_any_announced_size_is_not_waited_for_in_memory() -> None:
    splitter = zmtp.Splitter(3)
    splitter.feed(b"\x02" + (2**62).to_bytes(8), MAX_BYTES, MAX_FRAMES, CUT_BYTES)
    assert "more than 5000 bytes" in splitter.fault
