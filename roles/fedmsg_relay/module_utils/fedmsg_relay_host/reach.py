"""Finds out which endpoints a host reaches."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Sequence

from .command import Run, attempt

SECONDS = 5
ADDRESS = re.compile(r"^tcp://\[?(.*?)\]?:(\d+)$")
GREETING = b"\xff"
"""The first byte of ZeroMQ's greeting: a peer that accepts a connection and says nothing is not reached."""
PREFIX = re.compile(r"^[A-Z]+ - can ?not be reached: ")

Endpoint = Sequence[str]


def unreachable(program: str, endpoints: Sequence[Endpoint], run: Run) -> str:
    """Connect to endpoints, up to ZeroMQ's greeting.

    Args:
        program: the command ``fedmsg-relay``; empty where it is not to be used.
        endpoints: pairs of a key of the global config, such as ``relay_submit``, and an address.
        run: runs a command.

    Returns:
        Which of them are not reached, and why; empty if all are.
    """
    if not endpoints:
        return ""
    if not program:
        silent = [f"{key} {address}" for key, address in endpoints if not greets(address)]
        return "; ".join(f"{one}: no greeting within {SECONDS} s" for one in silent)
    asked = [f"--{key.replace('relay_', '', 1)}={address}" for key, address in endpoints]
    _, answer, reason = attempt(run, [program, "endpoints", "--check", "--json", f"--timeout={SECONDS}", *asked])
    try:
        told = json.loads(answer)
    except ValueError:
        told = {}
    if told.get("ok"):
        return ""
    if "summary" in told:
        return PREFIX.sub("", told["summary"])
    return f"the program here cannot check that: {reason.strip()}"


def greets(address: str) -> bool:
    """Tell whether a peer greets as ZeroMQ does.

    Args:
        address: such as ``tcp://app01:9941``.

    Returns:
        Whether it does within the time.
    """
    found = ADDRESS.match(address)
    deadline = time.monotonic() + SECONDS
    while found and time.monotonic() < deadline:
        try:
            left = max(0.1, deadline - time.monotonic())
            with socket.create_connection((found[1], int(found[2])), timeout=left) as peer:
                return peer.recv(1) == GREETING
        except ConnectionRefusedError:
            time.sleep(0.5)  # it may be about to start
        except OSError:
            return False
    return False
