"""submit, and frames that are no request: refused with a reason of the closed list, and no harm done."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from bus import Bus, StartBus, join
from fedmsg_relay import submit
from harness import Host
from messages import Message, compare, envelope, numbered
from raw import RawPeer, frame
from submitted import NOT_WELL_FORMED, TOPIC
from wire import Submitter, accepted

FRAMES: dict[str, tuple[list[bytes], str]] = {
    "no message": ([b"", b"FMR1"], "bad-request"),
    "a topic without a body": ([b"", b"FMR1", TOPIC], "bad-request"),
    "a body too many": ([b"", b"FMR1", TOPIC, b"{}", b"{}"], "bad-request"),
    "no empty frame": ([b"FMR1", TOPIC, b"{}"], "bad-request"),
    "one frame": ([b"FMR1"], "bad-request"),
    "one empty frame": ([b""], "bad-request"),
    "another version": ([b"", b"FMR2", TOPIC, b"{}"], "bad-version"),
    "no version": ([b"", TOPIC, b"{}"], "bad-version"),
    "an empty version": ([b"", b"", TOPIC, b"{}"], "bad-version"),
    "inbound's frames": ([TOPIC, b"{}"], "bad-request"),
}


@pytest.mark.parametrize(("frames", "reason"), FRAMES.values(), ids=FRAMES.keys())
def test_frames_that_are_not_a_request_are_refused(
    submit_bus: Bus, last: int, frames: list[bytes], reason: str
) -> None:
    client = submit_bus.sockets.submitter(submit_bus.host.submit)
    client.send_raw(*frames)
    answer = raw_answer(client)
    assert (answer["status"], answer["reason"]) == ("refused", reason)
    assert submit_bus.sockets.submitter(submit_bus.host.submit).ask(*numbered(1)) == accepted(last + 1, last + 1)
    submit_bus.listener.expect(numbered(1))
    assert submit_bus.relay.messages()["refused"] == 1


def raw_answer(client: Submitter) -> dict[str, Any]:
    """The answer to frames that may have had no empty one, and then it has none either."""
    frames = client.receive_raw()
    assert frames[-2] == b"FMR1"
    assert len(frames) <= 3
    answer: dict[str, Any] = json.loads(frames[-1])
    return answer


# A fuzz whose oracle is written from the protocol's page, not from the relay's code.


def some_message(random: Random, serial: Callable[[], int]) -> tuple[Message, str]:
    kind = random.choice(["", "", "", "", *NOT_WELL_FORMED])
    if not kind:
        return envelope("org.example.test.fuzz", serial()), ""
    return NOT_WELL_FORMED[kind], kind


def some_request(random: Random, serial: Callable[[], int]) -> tuple[list[bytes], list[Message], str]:
    """Frames behind the empty one, the messages they hold if they are good, and the reason if not."""
    count = random.choice([1, 1, 2, 3, 10, 1000, 1001])
    drawn = [some_message(random, serial) for _ in range(count)] if count < 1000 else []
    drawn = drawn or [(message, "") for message in (envelope("org.example.test.fuzz", serial()) for _ in range(count))]
    messages = [message for message, _ in drawn]
    frames = [b"FMR1", *itertools.chain.from_iterable(messages)]
    reason = next((reason for _, reason in drawn if reason), "")
    if count > 1000:
        reason = "batch-too-large"
    match random.randrange(8):
        case 0:
            frames[0] = random.choice([b"", b"FMR0", b"fmr1", b"FMR1 ", random.randbytes(4)])
            reason = "bad-version"
        case 1:
            frames, reason = frames[:-1], "bad-request"
        case 2:
            frames, reason = frames[:1], "bad-request"
    return frames, messages, reason


def test_fuzzed_frames_reach_every_refusal_and_only_good_ones_come_out(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.write("relay.toml", "[limits]\nmax_message_size = 4096\n")
    bus = start_bus()
    client = bus.sockets.submitter(host.submit)
    random = Random(2026)  # noqa: S311 -- nothing here is secret
    count = itertools.count()
    reached = set()
    published: list[Message] = []
    refused = 0
    for _ in range(300):
        frames, messages, reason = some_request(random, lambda: next(count))
        client.send_frames(*frames)
        answer = client.answer()
        assert answer.get("reason", "") == reason, (frames[:5], answer)
        if reason:
            reached.add(reason)
            refused += len(messages) if reason in NOT_WELL_FORMED else 1
        else:
            assert answer["seq"][1] - answer["seq"][0] == len(messages) - 1
            published += messages
    assert reached == set(submit.CODES)
    bus.listener.expect(published)
    assert bus.relay.messages()["refused"] == refused
    assert bus.relay.running.alive()


def test_bytes_without_sense_at_submit_do_no_harm(submit_bus: Bus, submitter: Submitter) -> None:
    random = Random(2026)  # noqa: S311 -- nothing here is secret
    for size in range(1, 2000, 133):
        peer = RawPeer(submit_bus.host.submit)
        peer.send(random.randbytes(size))
        peer.finish()
        peer = RawPeer(submit_bus.host.submit).shake_hands(b"DEALER")
        peer.send(frame(random.randbytes(size), more=True) + frame(random.randbytes(3)) + random.randbytes(size))
        peer.finish()
    assert submitter.ask(*numbered(3))["status"] == "accepted"
    join(submit_bus.publisher, submit_bus.listener)
    messages = submit_bus.relay.settled()
    compare([messages["journaled"]], [messages["published"]])
