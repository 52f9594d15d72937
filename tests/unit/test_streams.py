"""A stream's thread: whatever ends it, the reader is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmsg_relay import events, tailing
from fedmsg_relay.errors import NoRelayError
from fedmsg_relay.streams import Stream
from impostor import Impostor


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "web.py"


def test_a_fault_that_nobody_foresaw_reaches_the_reader(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Stream) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Stream, "_connected", broken)
    config.write_text("config = {'relay_web': 'http://127.0.0.1:9', 'endpoints': {}}\n")
    with pytest.raises(ZeroDivisionError):
        next(tailing.tail(filenames=[str(config)]))


def test_an_event_without_end_is_not_read_to_its_end(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 1024 * 1024)
    endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: " + b"x" * 1024 * 1024
    with Impostor(endless) as relay:
        config.write_text(f"config = {{'relay_web': {relay.url!r}, 'endpoints': {{}}}}\n")
        with pytest.raises(NoRelayError, match="an event of more than 1 MiB"):
            next(tailing.tail(filenames=[str(config)]))
