"""An upstream that says nothing, or nothing but PINGs: its link connects anew, and sends no PINGs itself."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from functools import partial

import pytest

from harness import PATIENCE
from raw import PING, frame
from sites import Site


@pytest.fixture
def door(old: Site) -> Iterator[socket.socket]:
    """Where the upstream of a relay lets it in, at submit and at outbound."""
    port = old.host.port()
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", port))
        door.listen()
        door.settimeout(PATIENCE)
        address = f"tcp://127.0.0.1:{port}"
        old.host.write("relay.toml", f'[upstream]\nsubmit = ["{address}"]\noutbound = ["{address}"]\n')
        old.relay.start()
        yield door


def test_a_link_sends_no_ping(door: socket.socket) -> None:
    """A libzmq at a full queue ends its process when it answers one after the connection was reset."""
    with accept(door, b"ROUTER") as submit, accept(door, b"XPUB") as outbound:
        # They say nothing, and the link ends when it has had enough of that.
        said = [b"".join(iter(partial(each.recv, 65536), b"")) for each in (submit, outbound)]
    assert b"FMR1?" in said[0]
    assert b"fedmsg-relay-mirror." in said[1]
    assert b"PING" not in b"".join(said)


def test_pings_are_not_an_answer(old: Site, door: socket.socket) -> None:
    with accept(door, b"ROUTER") as submit, accept(door, b"XPUB"), contextlib.suppress(ConnectionError):
        submit.settimeout(0.1)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            submit.sendall(PING)
            with contextlib.suppress(TimeoutError):
                if not submit.recv(65536):
                    break
    assert time.monotonic() < deadline
    old.relay.wait_for_log("upstream", "away: it does not answer")


def accept(door: socket.socket, kind: bytes) -> socket.socket:
    """Shake hands with the next one that connects."""
    connection, _ = door.accept()
    connection.settimeout(PATIENCE)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
    connection.sendall(greeting + b"\x04" + frame(ready)[1:])
    return connection
