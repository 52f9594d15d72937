"""Questions to relays have a time, whatever the relays do."""

from __future__ import annotations

import socket
import threading

import pytest

from fedmsg_relay.commands import asking
from impostor import Impostor


class Slow(Impostor):
    """It says a byte now and then."""

    def say(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            threading.Event().wait(0.1)


def test_a_relay_that_answers_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.5)
    with Slow(b"") as slow:
        assert asking.ask_all([slow.url], "x") == [{"url": slow.url, "error": "no answer within 0.5 s"}]


def test_names_that_do_not_resolve_in_time_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: ended.wait(10) and [])
    monkeypatch.setattr(asking, "TIMEOUT", 0.5)
    told = asking.ask_all(["http://one:9943", "http://other:9943"], "x")
    ended.set()
    assert [one["error"] for one in told] == ["no answer within 0.5 s"] * 2
