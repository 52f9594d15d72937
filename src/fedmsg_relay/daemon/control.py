"""The control socket, over which root and the relay's user have the relay do something: so far, release messages.

A client sends one JSON object in a line, ``{"release": [REASON, ...]}``. It gets a line with the progress now and then,
and the end of file after the last one (:class:`fedmsg_relay.daemon.release.Progress`). A client that leaves ends it.
"""

from __future__ import annotations

import json
import socket

from fedmsg_relay.daemon.release import Progress, Release, Releases
from fedmsg_relay.daemon.unix_socket import UnixServer
from fedmsg_relay.runtime import paths
from fedmsg_relay.trust.reasons import Reason

TELL_SECONDS = 0.2
"""Time between two lines of progress."""

REQUEST_BYTES = 4096
"""Bytes of a request."""


def serve(releases: Releases) -> UnixServer:
    """Answer on the control socket until closed.

    Args:
        releases: does what is asked for.

    Raises:
        ConfigError: the socket cannot be made.
    """

    def answer(client: socket.socket) -> None:
        reasons = _read(client)
        if reasons is None:
            client.sendall(b'{"fault": "this is not a request of this version"}\n')
            return
        release = Release(reasons)
        releases.ask(release)
        try:
            while not release.ended.wait(TELL_SECONDS):
                _tell(client, release.progress())
            _tell(client, release.progress())
        finally:
            release.cancelled.set()

    return UnixServer("control", paths.control_socket(), 0o600, answer)


def _read(client: socket.socket) -> frozenset[str] | None:
    """Read which reasons a client names; None where it asks for something else."""
    text = b""
    while b"\n" not in text and len(text) < REQUEST_BYTES:
        if not (more := client.recv(REQUEST_BYTES)):
            break
        text += more
    try:
        asked = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    match asked:
        case {"release": [*reasons]} if reasons and set(map(str, reasons)) <= set(map(str, Reason)):
            return frozenset(map(str, reasons))
    return None


def _tell(client: socket.socket, progress: Progress) -> None:
    client.sendall(json.dumps(progress).encode() + b"\n")
