"""An outgoing connection: from this relay to an endpoint of another relay. It speaks ZMTP itself, and never waits.

libzmq cannot be used here (:mod:`fedmsg_relay.network.zmtp`). It looks names up where it sends and receives. It answers
a PING at a full queue by ending the process. Its own heartbeats may end an older relay at the other end in this way. So
there are no heartbeats: the kernel finds out that the other host is gone, and an inquiry that its relay is.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fedmsg_relay import tcp
from fedmsg_relay.chain.dialler import Dialler, error_text
from fedmsg_relay.network import handshake, zmtp
from fedmsg_relay.runtime import limits

HANDSHAKE_SECONDS = 5.0
"""Time after which an address that does not speak ZMTP is given up."""

FRESH_SECONDS = 1.0
"""Time in which a new connection makes the relay's loop look at it every few milliseconds, until it is up."""

_CHUNK_BYTES = 256 * 1024
_TURN_BYTES = 1024 * 1024
"""Maximum bytes that are read in one turn."""


@dataclass(frozen=True)
class Kind:
    """Kind of a connection.

    Attributes:
        role: of our end, in ZMTP.
        max_bytes: maximum size of a message, at first; a larger one is skipped.
        hold_bytes: maximum bytes of messages that were read and not taken. Beyond it nothing is read, and TCP holds the
            other relay back.
        greeting: messages that are sent before any other.
    """

    role: handshake.Role
    max_bytes: int
    hold_bytes: int
    greeting: Sequence[Sequence[bytes]] = field(default=())


class Outgoing:
    """A connection to one endpoint. It connects once: after it has ended, a new one has to be made.

    Args:
        address: ``tcp://HOST:PORT`` or ``ipc://PATH``.
        kind: kind of the connection.

    Attributes:
        up: whether messages can be sent.
        up_since: when that began, by ``time.monotonic``.
        fault: why it has ended; empty while it has not. Messages that had come may still be taken then.
        max_bytes: maximum size of a message; may be changed.
        oversized: number of messages that were skipped as they are too large.
    """

    def __init__(self, address: str, kind: Kind) -> None:
        self.up = False
        self.up_since = 0.0
        self.fault = ""
        self.max_bytes = kind.max_bytes
        self.oversized = 0
        self._kind = kind
        self._moved = time.monotonic()
        self._dialler = Dialler(address)
        self._socket: socket.socket | None = None
        self._handshake = handshake.Handshake(kind.role)
        self._splitter = zmtp.Splitter(0)
        self._unsent = bytearray()
        self._written = self._acked = 0
        self._due = 0
        """Bytes up to the end of the last message. What is written behind it answers PINGs."""
        self._messages: deque[list[bytes]] = deque()
        self._held = 0

    @property
    def wakeup_socket(self) -> socket.socket | None:
        """Socket that is readable when something has come; None while nothing is wanted."""
        return self._socket if not self.fault and self._wants_more else None

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        return not (self.fault or self._unsent or self._fresh)

    @property
    def waits_for(self) -> str:
        """Why it is not up yet, for a person; empty once it is up, and in the first moment."""
        if self.up or self._fresh:
            return ""
        return self._dialler.waits_for

    @property
    def _fresh(self) -> bool:
        return not self.up and time.monotonic() - self._dialler.began < FRESH_SECONDS

    def update(self) -> None:
        """Connect, send and receive as far as this can be done without waiting."""
        if self.fault:
            return
        with self._ended_by_faults():
            if self._socket is None:
                self._socket = self._dialler.update()
            if self._dialler.fault:
                self._end(self._dialler.fault)
            if self._socket is not None:
                self._write()
                self._read()

    def send(self, frames: Sequence[bytes]) -> None:
        """Send a message. Bytes that the kernel does not take at once follow with the next updates.

        Args:
            frames: of the message.
        """
        self._unsent += zmtp.encode(frames, self._handshake.version)
        self._due = self._written + len(self._unsent)
        with self._ended_by_faults():
            self._write()

    def take(self, limit: int) -> Iterator[list[bytes]]:
        """Take messages that have come.

        Args:
            limit: maximum number of messages.

        Yields:
            The frames of each.
        """
        for _ in range(min(limit, len(self._messages))):
            frames = self._messages.popleft()
            self._held -= _cost(frames)
            yield frames

    @property
    def has_more(self) -> bool:
        """Whether messages have come that were not taken yet."""
        return bool(self._messages)

    def stands(self, seconds: float) -> bool:
        """Tell whether the other host has not acknowledged any byte of the sent messages for some time.

        Args:
            seconds: the time.
        """
        now = time.monotonic()
        flow = tcp.flow(self._socket.fileno()) if self._socket is not None else None
        if flow is not None and flow.acked != self._acked:
            if self._acked < self._due:
                self._moved = now
            self._acked = flow.acked
        return now - self._moved >= seconds

    def close(self) -> None:
        """End the connection."""
        self._end("it was closed here")
        self._messages.clear()

    @contextmanager
    def _ended_by_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._end(error_text(error))
        except zmtp.ProtocolError as error:
            self._end(str(error))

    def _end(self, why: str) -> None:
        self.fault = self.fault or why
        self.up = False
        self._unsent.clear()
        self._dialler.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # Sending and receiving.

    def _write(self) -> None:
        if self._socket is None:
            return
        if self._handshake.output:
            self._unsent += self._handshake.output
            self._handshake.output.clear()
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
                if self._written < self._due:
                    self._moved = time.monotonic()
                self._written += sent
        except BlockingIOError:
            return

    @property
    def _wants_more(self) -> bool:
        return self._held < self._kind.hold_bytes

    def _read(self) -> None:
        taken = 0
        while self._socket is not None and taken < _TURN_BYTES and self._wants_more:
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                break
            if not data:
                self._end("it has closed the connection")
                return
            taken += len(data)
            self._take_in(data)
            self._write()
        if not self.up and time.monotonic() - self._dialler.began > HANDSHAKE_SECONDS:
            self._end(f"it did not finish the ZMTP handshake within {HANDSHAKE_SECONDS:g} s")

    def _take_in(self, data: bytes) -> None:
        if not self.up:
            self._handshake.feed(data)
            if not self._handshake.version:
                return
            self.up, self.up_since = True, time.monotonic()
            self._splitter = zmtp.Splitter(self._handshake.version)
            for frames in self._kind.greeting:
                self._handshake.output += zmtp.encode(frames, self._handshake.version)
            data, self._handshake.rest = self._handshake.rest, b""
        cut_bytes = limits.cut_bytes(self.max_bytes)
        for message in self._splitter.feed(data, self.max_bytes, limits.LINK_FRAMES, cut_bytes):
            if isinstance(message, zmtp.Oversize):
                self.oversized += 1
            else:
                self._messages.append(message)
                self._held += _cost(message)
        if self._splitter.fault:
            raise zmtp.ProtocolError(self._splitter.fault)
        if not self._unsent:  # else its PINGs get no answer: what it does not take must not grow
            self._unsent += self._splitter.output
        self._splitter.output.clear()


def _cost(frames: list[bytes]) -> int:
    """Bytes that a message takes in memory."""
    return sum(map(len, frames)) + limits.MESSAGE_OVERHEAD
