"""A script's connection to the first relay that answers.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from fedmsg_relay.errors import ConfigError, NoRelayError, RelayError
from fedmsg_relay.hostnames import Candidates

try:
    import zmq
except ImportError as fault:
    raise ConfigError(
        f"the Python package pyzmq, without which nothing can be sent, is not installed for {sys.executable}: {fault}"
    ) from None

HEAD_START = 0.25
"""Time that an address has to answer before the next one of the list is tried as well."""

LOOK_SECONDS = 0.02
"""Interval at which it is looked whether a name has been resolved, while relays are waited for."""

SPARE_DESCRIPTORS = 12
"""File descriptors that must be free for a connection: libzmq ends the whole process where it gets none."""

MAX_ANSWER = 64 * 1024
"""Bytes of what a relay may send: subscriptions and replies."""

SUBSCRIBED = b"\x01"
"""The frame with which a relay subscribes to all messages."""

Message = tuple[bytes, bytes]
"""Topic and body."""


class Sent(NamedTuple):
    """The outcome for a list of messages.

    Attributes:
        number: how many of them a relay has taken, from the first one on.
        address: of that relay; empty if none has taken any.
        seq: the number that the last one of these has in the relay's journal; inbound does not tell it.
        fault: why the relay has not taken the others; None if it has taken all.
    """

    number: int
    address: str = ""
    seq: int | None = None
    fault: RelayError | None = None


class Kind(NamedTuple):
    """A kind of socket to connect: XPUB is ready with the relay's subscription, DEALER with the handshake.

    Attributes:
        type: ZeroMQ's.
        options: ZeroMQ's.
        monitored: events that its monitor tells.
    """

    type: int
    options: dict[int, int]
    monitored: int = 0


def close(connection: zmq.Socket[bytes], monitored: int, linger: int = 0) -> None:
    """Close a socket and its monitor; a monitor that stays open would keep the context from closing.

    Args:
        connection: the socket.
        monitored: as in its kind.
        linger: milliseconds in which what is queued may still go out.
    """
    if monitored:
        monitor = connection.get_monitor_socket(monitored)
        connection.disable_monitor()
        monitor.close(linger=0)
    connection.close(linger=linger)


class Reached(NamedTuple):
    """The first relay that answered, if one did.

    Attributes:
        address: the relay's, as it was given; empty if none answered.
        socket: connected to it.
        unresolved: why names of addresses did not resolve, as the end of a sentence; empty if all did.
    """

    address: str
    socket: zmq.Socket[bytes] | None
    unresolved: str = ""


def first_ready(
    context: zmq.Context[zmq.Socket[bytes]], kind: Kind, addresses: Sequence[str], where: str, deadline: float
) -> Reached:
    """Connect to addresses one after the other, without giving up on the earlier ones, until a relay answers at one.

    Their names are looked up all at once, and a name that does not resolve holds up none of the others.

    Args:
        context: to open sockets in.
        kind: of these sockets.
        addresses: in order of preference.
        where: where these stand, for messages.
        deadline: ``time.monotonic`` at which to give up.

    Returns:
        The address and its socket; no socket if none answered.

    Raises:
        ConfigError: an address cannot be connected to at all.
    """
    candidates = Candidates(addresses)
    candidates.wait_for_first(min(HEAD_START, deadline - time.monotonic()))
    poller = zmq.Poller()
    tried: dict[zmq.Socket[bytes], str] = {}
    next_try = 0.0
    try:
        while (now := time.monotonic()) < deadline:
            if now >= next_try and (candidate := candidates.take()):
                address, numeric = candidate
                opened = _open(context, kind, numeric, where)
                tried[opened] = address
                poller.register(opened, zmq.POLLIN if kind.type == zmq.XPUB else zmq.POLLOUT)
                next_try = now + HEAD_START
            patience = min(deadline - now, max(LOOK_SECONDS, next_try - now)) if candidates.left else deadline - now
            for answered, _ in poller.poll(max(1, int(patience * 1000))):
                if kind.type != zmq.XPUB or answered.recv() == SUBSCRIBED:
                    return Reached(tried.pop(answered), answered)
    finally:
        for other in tried:
            close(other, kind.monitored)
    return Reached("", None, candidates.unresolved())


def _open(context: zmq.Context[zmq.Socket[bytes]], kind: Kind, address: str, where: str) -> zmq.Socket[bytes]:
    require_descriptors()
    options = {zmq.IPV6: 1, zmq.LINGER: 0, zmq.MAXMSGSIZE: MAX_ANSWER, **kind.options}
    options[zmq.IMMEDIATE] = 1  # queue for a live connection only, so that it shows when a relay leaves
    options[zmq.RCVHWM] = 0  # at a limit of libzmq's a PING of the relay could end this process
    try:
        opened = context.socket(kind.type)
    except zmq.ZMQError as error:
        raise NoRelayError(f"no connection to a relay can be opened: {error.strerror}; not sent") from None
    for option, value in options.items():
        opened.setsockopt(option, value)
    if kind.monitored:
        opened.get_monitor_socket(kind.monitored)
    try:
        opened.connect(address)
    except zmq.ZMQError as error:
        close(opened, kind.monitored)
        raise ConfigError(f"{where}: cannot connect to {address!r}: {error.strerror}") from None
    return opened


def require_descriptors() -> None:
    """Make sure that there are file descriptors for a connection.

    Raises:
        NoRelayError: there are not.
    """
    spare: list[int] = []
    try:
        while len(spare) < SPARE_DESCRIPTORS:
            spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise NoRelayError(f"no connection to a relay can be opened: {error.strerror}; not sent") from None
    finally:
        for descriptor in spare:
            os.close(descriptor)
