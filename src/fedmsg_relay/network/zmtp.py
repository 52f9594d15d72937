"""ZMTP, the protocol of ZeroMQ's connections, as an endpoint of ours speaks it. No input or output happens here.

Sources: RFC 23 (ZMTP 3.0), 15 (2.0) and 13 (1.0) of rfc.zeromq.org, and libzmq 4.3.5 where these leave something open
(how versions are told apart, PING and PONG). The security mechanism is NULL.

libzmq's own receiving sockets do not serve here: they keep a message that never ends in memory, a peer's bytes cannot
be told from another's, and a peer that sends a PING into a full queue and resets its connection ends the process
(docs/protocol.md, "What one peer may cost").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fedmsg_relay.runtime.limits import COMMAND_BYTES, GREETING_BYTES, MAX_FRAMES

_MORE, _LONG, _COMMAND = 1, 2, 4
_SIGNATURE = b"\xff" + (1).to_bytes(8) + b"\x7f"
"""To a peer that speaks ZMTP 1.0 this is the beginning of an empty identity."""
_REVISION_3 = b"\x03"
_REST_OF_GREETING = b"\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
_GREETING_BYTES_2, _GREETING_BYTES_3 = 12, 64
_PING = b"\x04PING"
_PING_TTL_BYTES, _PING_CONTEXT_BYTES = 2, 16

START_BYTES = 8192
"""Bytes that are kept of each part of a message that is too large, to show what it was."""


class ProtocolError(Exception):
    """What a peer sends is not ZMTP, or more than a peer may send; its connection has to be closed."""


class Role(NamedTuple):
    """What an endpoint is.

    Attributes:
        socket_type: its type in the handshake.
        number: the same in ZMTP 2.0.
        accepts: types of peers.
        subscribes: whether it tells each peer that it wants every message.
    """

    socket_type: bytes
    number: int
    accepts: frozenset[bytes]
    subscribes: bool


SUB = Role(b"SUB", 2, frozenset({b"PUB", b"XPUB"}), subscribes=True)
ROUTER = Role(b"ROUTER", 6, frozenset({b"REQ", b"DEALER", b"ROUTER"}), subscribes=False)
DEALER = Role(b"DEALER", 5, frozenset({b"ROUTER"}), subscribes=False)

_NUMBERS = {b"PUB": 1, b"SUB": 2, b"REQ": 3, b"REP": 4, b"DEALER": 5, b"ROUTER": 6, b"XPUB": 9, b"XSUB": 10}


class Handshake:
    """The beginning of a connection, up to where messages begin.

    Args:
        role: of our end.

    Attributes:
        output: bytes to send; whoever sends them empties it.
        version: 1, 2 or 3 once the handshake is over, else 0.
        rest: what the peer has sent behind its handshake.
    """

    def __init__(self, role: Role) -> None:
        self.output = bytearray(_SIGNATURE)
        self.version = 0
        self.rest = b""
        self._role = role
        self._received = b""
        self._revision_sent = self._greeting_sent = False

    def feed(self, data: bytes) -> None:
        """Take in what the peer has sent.

        Args:
            data: the next bytes of it.

        Raises:
            ProtocolError: it is not a handshake that this end can go on with.
        """
        self._received += data
        if len(self._received) > GREETING_BYTES + len(data):
            raise ProtocolError("its handshake does not end")
        received = self._received
        if received[:1] != b"\xff":
            self._take_identity(1, received)
        elif len(received) < len(_SIGNATURE):
            return
        elif not received[9] & 1:
            self._take_identity(1, received)
        else:
            self._take_greeting(received)

    def _take_greeting(self, received: bytes) -> None:
        if not self._revision_sent:
            self.output += _REVISION_3
            self._revision_sent = True
        if len(received) < 11:
            return
        revision = received[10]
        if revision < 2:
            self._take_greeting_2(received, version=revision + 1)
        else:
            self._take_greeting_3(received)

    def _take_greeting_2(self, received: bytes, version: int) -> None:
        if not self._greeting_sent:
            identity = b"\x01\x00" if version == 1 else b"\x00\x00"
            self.output += bytes([self._role.number]) + identity
            self._greeting_sent = True
        if len(received) < _GREETING_BYTES_2:
            return
        if received[11] not in {_NUMBERS[accepted] for accepted in self._role.accepts}:
            raise ProtocolError(f"its socket type {received[11]} does not go with {self._role.socket_type.decode()}")
        self._take_identity(version, received[_GREETING_BYTES_2:])

    def _take_identity(self, version: int, received: bytes) -> None:
        """In ZMTP 1.0 and 2.0 the first frame is the peer's identity, which is nothing to us."""
        frame = _frame_v1(received, 0) if version == 1 else _frame_v2(received, 0)
        if frame is None or frame.stop > len(received):
            return
        self._end(version, received[frame.stop :])

    def _take_greeting_3(self, received: bytes) -> None:
        if not self._greeting_sent:
            self.output += _REST_OF_GREETING
            properties = {b"Socket-Type": self._role.socket_type}
            if not self._role.subscribes:
                properties[b"Identity"] = b""
            body = b"\x05READY" + b"".join(
                bytes([len(name)]) + name + len(value).to_bytes(4) + value for name, value in properties.items()
            )
            self.output += bytes([_COMMAND, len(body)]) + body
            self._greeting_sent = True
        if len(received) < _GREETING_BYTES_3:
            return
        mechanism = received[12:32].rstrip(b"\0")
        if mechanism != b"NULL":
            raise ProtocolError("it wants a security mechanism, and there is none here")
        frame = _frame_v2(received, _GREETING_BYTES_3)
        if frame is None or frame.stop > len(received):
            return
        body = received[frame.start : frame.stop]
        if not frame.flags & _COMMAND or not body.startswith(b"\x05READY"):
            raise ProtocolError("its handshake ends without READY")
        socket_type = _properties(body[6:]).get(b"socket-type", b"")
        if socket_type not in self._role.accepts:
            name = socket_type.decode("ascii", "backslashreplace")[:20]
            raise ProtocolError(f"its socket type {name!r} does not go with {self._role.socket_type.decode()}")
        self._end(3, received[frame.stop :])

    def _end(self, version: int, rest: bytes) -> None:
        self.version, self.rest, self._received = version, rest, b""
        if self._role.subscribes:
            self.output += encode([b"\x01"], version)


def _properties(data: bytes) -> dict[bytes, bytes]:
    """Read the metadata of READY; names are compared without case."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        name_stop = position + 1 + data[position]
        value_start = name_stop + 4
        value_stop = value_start + int.from_bytes(data[name_stop:value_start])
        if value_stop > len(data):
            raise ProtocolError("its READY is malformed")
        found[data[position + 1 : name_stop].lower()] = data[value_start:value_stop]
        position = value_stop
    return found


class _Frame(NamedTuple):
    flags: int
    start: int
    stop: int


def _frame_v1(data: bytes, position: int) -> _Frame | None:
    """Find a frame of ZMTP 1.0, whose length counts the byte of flags behind it; None while that is not all there."""
    header = data[position : position + 10]
    if len(header) < 2:
        return None
    size, at = header[0], 1
    if size == 0xFF:
        if len(header) < 10:
            return None
        size, at = int.from_bytes(header[1:9]), 9
    if size < 1:
        raise ProtocolError("it sent a frame without flags")
    return _Frame(header[at] & _MORE, position + at + 1, position + at + size)


def _frame_v2(data: bytes, position: int) -> _Frame | None:
    """Find a frame of ZMTP 2.0 or 3.0; None while its header is not all there."""
    header = data[position : position + 9]
    if len(header) < 2:
        return None
    flags = header[0]
    if flags > 7:
        raise ProtocolError("it sent a frame with flags that do not exist")
    if not flags & _LONG:
        return _Frame(flags, position + 2, position + 2 + header[1])
    if len(header) < 9:
        return None
    return _Frame(flags, position + 9, position + 9 + int.from_bytes(header[1:9]))


def encode(frames: Sequence[bytes], version: int) -> bytes:
    """Write a message as it goes over the connection.

    Args:
        frames: its frames; at least one.
        version: from :attr:`Handshake.version`.

    Returns:
        The bytes.
    """
    out = bytearray()
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        more = _MORE if number < last else 0
        size = len(frame)
        if version == 1:
            size += 1
            out += bytes([size, more]) if size < 0xFF else b"\xff" + size.to_bytes(8) + bytes([more])
        else:
            out += bytes([more, size]) if size < 0x100 else bytes([more | _LONG]) + size.to_bytes(8)
        out += frame
    return bytes(out)


@dataclass
class Oversize:
    """A message of more bytes or frames than are kept; it was read to its end and let go.

    Attributes:
        size: bytes of its frames.
        frames: how many these were.
        first: the beginning of its first frame.
        others: the beginning of the others.
    """

    size: int = 0
    frames: int = 0
    first: bytes = b""
    others: bytes = b""

    def begin_frame(self, size: int) -> None:
        """Count a frame.

        Args:
            size: its bytes.
        """
        self.frames += 1
        self.size += size

    def keep(self, data: bytes) -> None:
        """Keep the beginning.

        Args:
            data: of the frame that was begun last.
        """
        if self.frames == 1:
            self.first += data[: START_BYTES - len(self.first)]
        else:
            self.others += data[: START_BYTES - len(self.others)]


Message = list[bytes] | Oversize


class Splitter:
    """Cuts what a peer sends into messages.

    Args:
        version: from :attr:`Handshake.version`.

    Attributes:
        held: bytes in memory of a message that is not finished.
        work: commands, and frames that were passed over, since somebody set it back.
        output: bytes that the peer has to get: what answers its PING.
        fault: why the peer has to be cut; empty while it need not be.
    """

    def __init__(self, version: int) -> None:
        self.held = 0
        self.work = 0
        self.output = bytearray()
        self.fault = ""
        self._version = version
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._need = 0
        self._frames: list[bytes] = []
        self._size = 0
        self._over: Oversize | None = None
        self._skip = 0
        self._skip_ends = False

    def feed(self, data: bytes, max_bytes: int, max_frames: int, cut_bytes: int) -> list[Message]:
        """Take in the next bytes of a peer.

        Args:
            data: the bytes.
            max_bytes: of a message that is kept.
            max_frames: the same.
            cut_bytes: of a message that is read to its end.

        Returns:
            The messages that they finish. After a fault nothing more is taken in.
        """
        self._buffered += len(data)
        self._chunks.append(data)
        if self._buffered < self._need:  # a long frame comes in pieces
            self.held += len(data)
            return []
        data = b"".join(self._chunks) if len(self._chunks) > 1 else data
        messages: list[Message] = []
        try:
            position = self._split(data, messages, max_bytes, max_frames, cut_bytes)
        except ProtocolError as error:
            self.fault = str(error)
            self._chunks, self._frames = [], []
            self.held = 0
            return messages
        rest = data[position:]
        self._chunks, self._buffered = [rest] if rest else [], len(rest)
        self.held = self._buffered + self._size
        return messages

    def _split(self, data: bytes, messages: list[Message], max_bytes: int, max_frames: int, cut_bytes: int) -> int:
        """Append what is whole to the messages; return where the rest begins."""
        end = len(data)
        position = self._pass_over(data, 0, messages)
        frames, room, v1, work = self._frames, max_bytes - self._size, self._version == 1, 0
        self._need = 0
        while end - position >= 2 and not self._skip:
            flags = data[position]
            if flags < _LONG and not v1:  # most frames
                start = position + 2
                stop = start + data[position + 1]
            else:
                frame = _frame_v1(data, position) if v1 else _frame_v2(data, position)
                if frame is None:
                    break
                flags, start, stop = frame
            size = stop - start
            if flags & _COMMAND:
                if stop > end and size <= COMMAND_BYTES:
                    break
                self._command(data[start:stop], size)
                work += 1
            elif size <= room and len(frames) < max_frames and self._over is None:
                if stop > end:
                    self._need = stop - position
                    break
                frames.append(data[start:stop])
                room -= size
                if not flags & _MORE:
                    messages.append(frames)
                    frames, room = [], max_bytes
            else:
                self._begin_to_pass_over(frames, size, ends=not flags & _MORE, cut_bytes=cut_bytes)
                frames, room = [], max_bytes
                self._skip = size
                stop = self._pass_over(data, start, messages)
                work += 1
            position = stop
        self.work += work
        self._frames, self._size = frames, max_bytes - room
        return position

    def _begin_to_pass_over(self, frames: list[bytes], size: int, *, ends: bool, cut_bytes: int) -> None:
        """Keep no more of this message, of which there are some frames already and now one of this size."""
        if self._over is None:
            self._over = Oversize()
            for frame in frames:
                self._over.begin_frame(len(frame))
                self._over.keep(frame)
        self._over.begin_frame(size)
        if self._over.size > cut_bytes:
            raise ProtocolError(f"it sent a message of more than {cut_bytes} bytes")
        if self._over.frames > MAX_FRAMES:
            raise ProtocolError(f"it sent a message of more than {MAX_FRAMES} frames")
        self._skip_ends = ends

    def _pass_over(self, data: bytes, position: int, messages: list[Message]) -> int:
        """Read on in a frame that is not kept; return where that ends, or the data."""
        if self._over is None:
            return position
        taken = min(self._skip, len(data) - position)
        self._over.keep(data[position : position + min(taken, START_BYTES)])
        self._skip -= taken
        if not self._skip and self._skip_ends:
            messages.append(self._over)
            self._over, self._skip_ends = None, False
        return position + taken

    def _command(self, body: bytes, size: int) -> None:
        """Answer a PING with its context; other commands have no meaning once the handshake is over."""
        if size > COMMAND_BYTES:
            raise ProtocolError(f"it sent a command of more than {COMMAND_BYTES} bytes")
        if body.startswith(_PING):
            context = body[len(_PING) + _PING_TTL_BYTES :][:_PING_CONTEXT_BYTES]
            pong = b"\x04PONG" + context
            self.output += bytes([_COMMAND, len(pong)]) + pong
