"""`fedmsg-relay trace` where something else answers, and for names that are no text."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from harness import Host
from impostor import impostors
from spooled import put

NOTHING: dict[str, Any] = {"journal": None, "quarantine": [], "upstream": []}
JOURNALED = {"seq": 1, "time": 1, "topic": "t", "bytes": 2, "signature": "unsigned", "published": False}
DROPPED = {"reason": "x", "via": "", "time": 1, "source": "192.0.2.1"}


def answer(told: object) -> bytes:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


STRANGE: dict[str, object] = {
    "not JSON": b"hello",
    "nested too deep": b"[" * 200_000,
    "no object": [],
    "no journal": {"quarantine": [], "upstream": []},
    "a journal that is a number": NOTHING | {"journal": 5},
    "a time beyond the calendar": NOTHING | {"quarantine": [DROPPED | {"time": 1e300}]},
    "a number without end": NOTHING | {"journal": JOURNALED | {"seq": 10**400}},
    "a publication beyond the calendar": NOTHING | {"journal": JOURNALED | {"published": True, "published_by": 1e20}},
    "an upstream that is a number": NOTHING | {"upstream": [5]},
    "an error that is a number, with more": {"error": 5, "upstream": 5},
}


@pytest.mark.parametrize("told", STRANGE.values(), ids=STRANGE.keys())
def test_what_no_web_process_says_is_a_line(host: Host, told: object) -> None:
    with impostors(host, answer(told)) as (relay,):
        ran = host.run("fedmsg-relay", "trace", "2026-x")
    assert ran.code == 69
    assert f"{relay.url}: not a web process of fedmsg-relay" in ran.one_error_line()


def test_an_upstream_that_cannot_be_asked_is_not(host: Host) -> None:
    odd = [{"submit": submit, "state": "away"} for submit in ("tcp://[x", "ipc://x", "tcp://a\x1bb:1")]
    told = {"journal": JOURNALED, "quarantine": [DROPPED | {"via": "\x1b[2J"}], "upstream": odd}
    with impostors(host, answer(told | {"url": "http://other", "upstream_of": "me"})) as (relay,):
        ran = host.run("fedmsg-relay", "trace", "2026-x")
    assert (ran.code, ran.stderr) == (0, "")
    assert f"relay       {relay.url}\n" in ran.stdout
    assert "upstream    tcp://[x away\n" in ran.stdout
    assert [line for line in ran.stdout.splitlines() if not line.isprintable()] == []


def test_a_relay_that_answers_with_an_error_is_quoted(host: Host) -> None:
    with impostors(host, answer({"error": "too many\x1b", "upstream": 5})):
        ran = host.run("fedmsg-relay", "trace", "2026-x")
    assert ran.code == 69
    assert ran.one_error_line().endswith(": too many\\x1b")


def test_a_name_that_is_no_text_is_looked_for(host: Host) -> None:
    host.configure_submit()
    put(host, b"fedmsg-spool 1 msg\nm\nt\n1\n\xff\nu\n{}", f"{1:020d}-1-1.msg")
    with impostors(host, answer(NOTHING)):
        ran = host.run("fedmsg-relay", "trace", os.fsdecode(b"\xff"))
    assert (ran.code, ran.stderr) == (0, "")
    assert "it waits" in ran.stdout
