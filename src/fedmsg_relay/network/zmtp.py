"""The frames and messages of ZMTP, the protocol of ZeroMQ's connections. No input or output happens here.

How a connection begins is :mod:`fedmsg_relay.network.handshake`.

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

from fedmsg_relay.runtime.limits import COMMAND_BYTES, MAX_FRAMES

MORE, LONG, COMMAND = 1, 2, 4
"""Flags of a frame."""

_PING = b"\x04PING"
_PING_TTL_BYTES, _PING_CONTEXT_BYTES = 2, 16

START_BYTES = 8192
"""Bytes that are kept of each part of a message that is too large, to show what it was."""


class ProtocolError(Exception):
    """A peer sends bytes that are not ZMTP, or more than it may send; its connection has to be closed."""


class Frame(NamedTuple):
    """Where a frame is in the bytes of a peer, without its header."""

    flags: int
    start: int
    stop: int


def frame_v1(data: bytes, position: int) -> Frame | None:
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
    return Frame(header[at] & MORE, position + at + 1, position + at + size)


def frame_v2(data: bytes, position: int) -> Frame | None:
    """Find a frame of ZMTP 2.0 or 3.0; None while its header is not all there."""
    header = data[position : position + 9]
    if len(header) < 2:
        return None
    flags = header[0]
    if flags > 7:
        raise ProtocolError("it sent a frame with flags that do not exist")
    if not flags & LONG:
        return Frame(flags, position + 2, position + 2 + header[1])
    if len(header) < 9:
        return None
    return Frame(flags, position + 9, position + 9 + int.from_bytes(header[1:9]))


def encode(frames: Sequence[bytes], version: int) -> bytes:
    """Write a message as it goes over the connection.

    Args:
        frames: its frames; at least one.
        version: from :attr:`fedmsg_relay.network.handshake.Handshake.version`.

    Returns:
        The bytes.
    """
    out = bytearray()
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        more = MORE if number < last else 0
        size = len(frame)
        if version == 1:
            size += 1
            out += bytes([size, more]) if size < 0xFF else b"\xff" + size.to_bytes(8) + bytes([more])
        else:
            out += bytes([more, size]) if size < 0x100 else bytes([more | LONG]) + size.to_bytes(8)
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

    def __len__(self) -> int:
        """Get how many frames it had, as of a message that is kept."""
        return self.frames

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
        version: from :attr:`fedmsg_relay.network.handshake.Handshake.version`.

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
        from_bytes = int.from_bytes
        while end - position >= 2 and not self._skip:
            flags = data[position]
            if flags < LONG and not v1:  # most frames
                start = position + 2
                stop = start + data[position + 1]
            elif flags < COMMAND and not v1 and end - position >= 9:  # and most others
                start = position + 9
                stop = start + from_bytes(data[position + 1 : start])
            else:
                frame = frame_v1(data, position) if v1 else frame_v2(data, position)
                if frame is None:
                    break
                flags, start, stop = frame
            size = stop - start
            if flags & COMMAND:
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
                if not flags & MORE:
                    messages.append(frames)
                    frames, room = [], max_bytes
            else:
                self._begin_to_pass_over(frames, size, ends=not flags & MORE, cut_bytes=cut_bytes)
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
            self.output += bytes([COMMAND, len(pong)]) + pong
