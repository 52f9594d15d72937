"""A script's connection to the first relay that answers, and messages over it to inbound.

A stock script connects and sleeps, hoping that the relay's subscription has arrived. Ours connects an XPUB socket,
which shows it the subscription, and sends as soon as it is there. This module is on the path of every one-off script:
it imports only what that needs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fedmsg_relay.errors import ConfigError, NoRelayError, RelayError, tenths
from fedmsg_relay.forks import is_forked, setting_up
from fedmsg_relay.hostnames import Candidates

try:
    import zmq
except ImportError as fault:
    raise ConfigError(
        f"the Python package pyzmq, without which nothing can be sent, is not installed for {sys.executable}: {fault}"
    ) from None

if TYPE_CHECKING:
    from fedmsg_relay.kernel import Written

HEAD_START = 0.25
"""Time that an address has to answer before the next one of the list is tried as well."""

LOOK_SECONDS = 0.02
"""Interval at which it is looked whether a name has been resolved, while relays are waited for."""

PAUSE_SECONDS, SETTLE_MILLISECONDS = 0.01, 20
"""After a pause of the first between two messages, it is looked for the second whether the relay is still there."""

CHANGES = 10
"""Maximum number of changes of the relay's subscriptions that are taken in at once; a relay makes one."""

FIRST_PAUSE, LONGEST_PAUSE = 0.0001, 0.01
"""Pause before a message is given to a full connection again, doubled each time."""

SPARE_DESCRIPTORS = 12
"""File descriptors that must be free for a connection: libzmq ends the whole process where it gets none."""

MAX_ANSWER = 64 * 1024
"""Bytes of what a relay may send: subscriptions and replies."""

_SUBSCRIBED, _UNSUBSCRIBED = b"\x01", b"\x00"

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


class InboundConnection:
    """A connection to the inbound of the first relay that answers.

    Args:
        addresses: of inbound, in order of preference.
        where: where these stand, for messages.
        io_threads: of the ZeroMQ context.
        high_water_mark: maximum number of messages that wait to be sent; then sending waits. 0 is libzmq's own default.
    """

    def __init__(self, addresses: Sequence[str], where: str, io_threads: int = 1, high_water_mark: int = 0) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._where = where
        self._high_water_mark = high_water_mark
        self._io_threads = io_threads
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._socket: zmq.Socket[bytes] | None = None
        self._forked = is_forked()
        self._monitored = 0
        self._written: Written | None = None
        self._lost = False
        self._last_sent = 0.0
        self.address = ""

    def send(self, messages: Sequence[Message], timeout: float) -> Sent:
        """Send messages to the relay, connecting first where that is needed.

        Args:
            messages: topic and body of each.
            timeout: seconds for all of it.

        Returns:
            How many the connection took. The fault is a NoRelayError if no relay answered, or if it took nothing,
            within the timeout: the message was not sent, or the error says that it may have been. It is a ConfigError
            if an address cannot be connected to at all.
        """
        deadline = time.monotonic() + timeout
        number = 0
        try:
            if self._socket is None or self._has_ended() or not self._still_subscribed(self._socket):
                self._connect(deadline, timeout)
            assert self._socket is not None  # noqa: S101 -- for the type checker: _connect raises otherwise
            for number, message in enumerate(messages):  # noqa: B007 -- how many were sent before a fault
                self._give(self._socket, message, deadline)
            number = 0  # a fault is now one of all messages
            if self._forked:
                self._wait_until_written(deadline, timeout)
        except zmq.Again:
            fault = NoRelayError(f"the relay at {self.address} took nothing for {tenths(timeout)} s; not sent")
            return Sent(number, self.address, fault=fault)
        except zmq.ZMQError as error:  # as when another thread has closed it
            fault = NoRelayError(f"the connection to a relay cannot be used: {error.strerror}; not sent")
            return Sent(number, self.address, fault=fault)
        except RelayError as error:
            return Sent(number, self.address, fault=error)
        self._last_sent = time.monotonic()
        return Sent(len(messages), self.address)

    def close(self, timeout: float) -> None:
        """Send the messages that are still queued, and close.

        Args:
            timeout: seconds that may take.

        Raises:
            NoRelayError: the relay left, or did not take everything in time: the last messages may not have arrived.
        """
        connection, self._socket = self._socket, None
        deadline = time.monotonic() + timeout
        if connection is not None:
            self._lost |= not self._still_subscribed(connection)
            if self._written is not None:  # libzmq gives up in silence what a relay that leaves has not taken
                self._lost |= not self._written.wait(deadline)
            self._close(connection, linger=max(1, int((deadline - time.monotonic()) * 1000)))
        self._context.term()
        lost, self._lost = self._lost, False
        if lost or time.monotonic() >= deadline:
            raise NoRelayError(
                f"the relay at {self.address} left before it had everything; the last messages may be lost"
            )

    def _connect(self, deadline: float, timeout: float) -> None:
        old, self._socket = self._socket, None
        if old is not None:
            self._lost |= self._written is not None and not self._written.done
            self._close(old)
        with setting_up:
            from fedmsg_relay import kernel  # noqa: PLC0415 -- only where it is used
        self._monitored = kernel.EVENTS
        options: dict[int, int] = {zmq.XPUB_NODROP: 1, zmq.SNDHWM: self._high_water_mark or 1000}
        kind = Kind(zmq.XPUB, options, self._monitored)
        self.address, self._socket, unresolved = first_ready(
            self._context, kind, self._addresses, self._where, deadline
        )
        if self._socket is None:
            found = ", ".join(self._addresses)
            why = f"no relay answered within {tenths(timeout)} s at {found} ({self._where})"
            raise NoRelayError(f"{why}{unresolved}; not sent")
        with contextlib.suppress(OSError):
            self._written = kernel.Written(self._socket.get_monitor_socket(self._monitored))

    def _give(self, connection: zmq.Socket[bytes], message: Message, deadline: float) -> None:
        """Give a message to libzmq. A wait of libzmq's own would begin anew with each signal."""
        pause = FIRST_PAUSE
        while True:
            try:
                connection.send_multipart(message, zmq.DONTWAIT)
                break
            except zmq.Again:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        if self._written is not None:
            self._written.add(message)

    def _wait_until_written(self, deadline: float, timeout: float) -> None:
        """Wait until the kernel has the messages: a forked child may end at any moment without Python's knowing."""
        assert self._socket is not None  # noqa: S101 -- for the type checker: they have just been sent over it
        if self._written is None:  # only closing the connection tells whether they were sent
            try:
                self.close(max(0.001, deadline - time.monotonic()))
            finally:
                self._context = zmq.Context(self._io_threads)
        elif not self._written.wait(deadline):
            self._close(self._socket)
            self._socket = None
            why = f"the relay at {self.address} did not take everything within {tenths(timeout)} s"
            raise NoRelayError(f"{why}; it may have the message all the same")

    def _has_ended(self) -> bool:
        return self._written is not None and self._written.ended

    def _close(self, connection: zmq.Socket[bytes], linger: int = 0) -> None:
        if self._written is not None:
            self._written.close()
            self._written = None
        close(connection, self._monitored, linger)

    def _still_subscribed(self, connection: zmq.Socket[bytes]) -> bool:
        """Take in the subscriptions that came since; return False once the relay has left."""
        subscribed = True
        # After a pause libzmq may have something to catch up with, in several steps of its two threads.
        patience = SETTLE_MILLISECONDS if time.monotonic() - self._last_sent > PAUSE_SECONDS else 0
        for _ in range(CHANGES):
            if not connection.poll(patience):
                break
            change = connection.recv()
            if change in {_SUBSCRIBED, _UNSUBSCRIBED}:
                subscribed = change == _SUBSCRIBED
        return subscribed


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
                if kind.type != zmq.XPUB or answered.recv() == _SUBSCRIBED:
                    return Reached(tried.pop(answered), answered)
    finally:
        for other in tried:
            close(other, kind.monitored)
    return Reached("", None, candidates.unresolved())


def _open(context: zmq.Context[zmq.Socket[bytes]], kind: Kind, address: str, where: str) -> zmq.Socket[bytes]:
    _require_descriptors()
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


def _require_descriptors() -> None:
    spare: list[int] = []
    try:
        while len(spare) < SPARE_DESCRIPTORS:
            spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise NoRelayError(f"no connection to a relay can be opened: {error.strerror}; not sent") from None
    finally:
        for descriptor in spare:
            os.close(descriptor)
