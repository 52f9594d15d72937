"""Whether a host reaches the relay: a connect to each endpoint, up to the end of ZeroMQ's handshake.

A TCP connect alone proves little: a proxy, or a relay whose loop is stuck, accepts and then says nothing. The handshake
is spoken by :mod:`fedmsg_relay.network.zmtp`: libzmq would resolve names in its own time. It goes to the end, as a
connection that ends before it does is a warning in the relay's log.

Nothing here waits longer than asked: each address has a thread, which is left behind when it is late.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from fedmsg_relay import tcp
from fedmsg_relay.daemon import addresses
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.network import zmtp
from fedmsg_relay.network.address import split
from fedmsg_relay.network.handshake import Handshake, Role
from fedmsg_relay.publisher import LONGEST_TIMEOUT

RESOLVE_SECONDS = 2.0
"""Maximum time for a name server to say whether an address is this host's."""

_ROLES = {
    "relay_inbound": Role(b"PUB", 1, frozenset({b"SUB", b"XSUB"}), subscribes=False),
    "relay_outbound": Role(b"SUB", 2, frozenset({b"PUB", b"XPUB"}), subscribes=False),
    "relay_submit": Role(b"DEALER", 5, frozenset({b"ROUTER", b"REP"}), subscribes=False),
}
"""The socket that connects to each endpoint, and the types that the endpoint may have."""

_READ_BYTES = 4096


class _NoRelayError(OSError):
    """The answer is not that of an endpoint of a relay."""


@dataclass(frozen=True)
class Reached:
    """The outcome of connecting to one address.

    Attributes:
        endpoint: such as ``relay_submit``.
        address: of that endpoint.
        error: why it cannot be reached; empty if it can.
        milliseconds: how long it took.
    """

    endpoint: str
    address: str
    error: str
    milliseconds: float


def check(endpoints: Mapping[str, Sequence[str]], timeout: float) -> list[Reached]:
    """Connect to all addresses at once.

    Args:
        endpoints: the addresses of each endpoint; each names a host.
        timeout: seconds for all of it, names that do not resolve included.

    Returns:
        The outcome of each, in the order given.
    """
    wanted = [(endpoint, address) for endpoint, addresses in endpoints.items() for address in addresses]
    timeout = min(LONGEST_TIMEOUT, timeout)
    deadline = time.monotonic() + timeout
    answers: queue.SimpleQueue[tuple[int, Reached]] = queue.SimpleQueue()
    for i, (endpoint, address) in enumerate(wanted):
        threading.Thread(target=_try, args=(answers, i, endpoint, address, deadline), daemon=True).start()
    late = f"no answer within {timeout:.3g} s"
    found = {i: Reached(endpoint, address, late, timeout * 1000) for i, (endpoint, address) in enumerate(wanted)}
    for _ in wanted:
        try:
            i, reached = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[i] = reached
    return [found[i] for i in range(len(wanted))]


def _try(answers: queue.SimpleQueue[tuple[int, Reached]], i: int, endpoint: str, address: str, deadline: float) -> None:
    started = time.monotonic()
    try:
        _reach(endpoint, address, deadline)
    except TimeoutError:
        return  # the caller says so of all that are late
    except OSError as error:
        fault = error.strerror or str(error)
    else:
        fault = ""
    answers.put((i, Reached(endpoint, address, fault, round((time.monotonic() - started) * 1000, 2))))


def _reach(endpoint: str, address: str, deadline: float) -> None:
    """Try every address that the name has; the last fault is raised when none can be reached."""
    last: OSError = _NoRelayError("the name has no address")
    places = _places(address)
    for left, (family, place) in zip(range(len(places), 0, -1), places, strict=True):
        now = time.monotonic()
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                _shake_hands(connection, place, endpoint, now + (deadline - now) / left)
        except OSError as error:
            last = error
        else:
            return
    raise last


def _places(address: str) -> list[tuple[socket.AddressFamily, Any]]:
    if address.startswith("ipc://"):
        return [(socket.AF_UNIX, tcp.unix_name(address))]
    host, port = split(address, "")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise _NoRelayError("not a name") from None
    return [(family, place) for family, _, _, _, place in found]


def _shake_hands(connection: socket.socket, place: Any, endpoint: str, deadline: float) -> None:
    _until(connection, deadline)
    connection.connect(place)
    greeting = Handshake(_ROLES[endpoint])
    greeted = False
    while not greeting.version:
        connection.sendall(greeting.output)
        greeting.output.clear()
        _until(connection, deadline)
        data = connection.recv(_READ_BYTES)
        if not data:
            raise _NoRelayError("it closes the connection")
        if not greeted and data[:1] != b"\xff":
            raise _NoRelayError("the answer is not ZeroMQ")
        greeted = True
        try:
            greeting.feed(data)
        except zmtp.ProtocolError as error:
            raise _NoRelayError(f"the answer is not that of {endpoint}: {error}") from error
    connection.sendall(greeting.output)


def _until(connection: socket.socket, deadline: float) -> None:
    """Bound the next call of the socket, which raises TimeoutError at the deadline."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def is_here(named: Sequence[str]) -> bool:
    """Tell whether one of the addresses is this host's.

    Args:
        named: addresses of a relay.

    Returns:
        True if one is; False also where a name does not resolve in time.
    """
    for address in named:
        with suppress(ConfigError):
            if address.startswith("ipc://") or addresses.is_this_host(split(address, "")[0], RESOLVE_SECONDS):
                return True
    return False


def judge(found: Sequence[Reached]) -> tuple[int, str]:
    """Judge as a Nagios plugin does.

    Args:
        found: from :func:`check`.

    Returns:
        0 (OK); 1 (WARNING) when of each endpoint one address at least can be reached, else 2 (CRITICAL); and the line.
    """
    faults = [f"{one.endpoint} {one.address}: {one.error}" for one in found if one.error]
    if not faults:
        slowest = max((one.milliseconds for one in found), default=0.0)
        return 0, f"OK - {len(found)} addresses can be reached | time={slowest:.1f}ms"
    closed = {one.endpoint for one in found} - {one.endpoint for one in found if not one.error}
    word = "CRITICAL" if closed else "WARNING"
    return 2 if closed else 1, f"{word} - cannot be reached: {'; '.join(faults)}"


def describe(found: Sequence[Reached]) -> dict[str, Any]:
    """Describe it for a script, as ``--json`` prints it."""
    code, line = judge(found)
    return {"ok": code == 0, "summary": line.partition(" | ")[0], "addresses": [asdict(one) for one in found]}
