"""Messages of a script to inbound, which gives no receipts.

A stock script connects and sleeps, hoping that the relay's subscription has arrived. Ours connects an XPUB socket,
which shows it the subscription, and sends as soon as it is there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import zmq

from fedmsg_relay.connection import SUBSCRIBED, Kind, Message, Sent, close, first_ready, require_descriptors
from fedmsg_relay.errors import NoRelayError, RelayError, tenths
from fedmsg_relay.forks import is_forked
from fedmsg_relay.kernel import EVENTS, Written

PAUSE_SECONDS, SETTLE_MILLISECONDS = 0.01, 20
"""After a pause of the first between two messages, it is looked for the second whether the relay is still there."""

CHANGES = 10
"""Maximum number of changes of the relay's subscriptions that are taken in at once; a relay makes one."""

FIRST_PAUSE, LONGEST_PAUSE = 0.0001, 0.01
"""Pause before a message is given to a full connection again, doubled each time."""

UNSUBSCRIBED = b"\x00"
"""The frame that says that the relay has left."""


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
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
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
        written, self._written = self._written, None
        if connection is not None:
            self._lost |= not self._still_subscribed(connection)
            self._close(connection, linger=max(1, int(timeout * 1000)))
        if self._context is not None:
            self._context.term()
        if written is not None:  # libzmq gives up in silence what a relay that leaves has not taken
            self._lost |= not written.done
            written.close()
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
        require_descriptors()
        self._monitored = EVENTS
        self._context = self._context or zmq.Context(self._io_threads)
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
            self._written = Written(self._socket.get_monitor_socket(self._monitored))

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
                self._context = None
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
            if change in {SUBSCRIBED, UNSUBSCRIBED}:
                subscribed = change == SUBSCRIBED
        return subscribed
