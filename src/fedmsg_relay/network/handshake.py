"""The handshake of ZMTP: the beginning of a connection, up to where messages begin. No input or output happens here.

The versions 1, 2 and 3 of ZMTP are spoken; :mod:`fedmsg_relay.network.zmtp` names the sources.
"""

from __future__ import annotations

from typing import NamedTuple

from fedmsg_relay.network.zmtp import COMMAND, ProtocolError, encode, frame_v1, frame_v2
from fedmsg_relay.runtime.limits import GREETING_BYTES

_SIGNATURE = b"\xff" + (1).to_bytes(8) + b"\x7f"
"""To a peer that speaks ZMTP 1.0 this is the beginning of an empty identity."""

_REVISION_3 = b"\x03"
_REST_OF_GREETING = b"\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
_GREETING_BYTES_2, _GREETING_BYTES_3 = 12, 64


class Role(NamedTuple):
    """The role of an endpoint: whom it connects to, and what it says in the handshake.

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


PUB = Role(b"PUB", 1, frozenset({b"SUB", b"XSUB"}), subscribes=False)
SUB = Role(b"SUB", 2, frozenset({b"PUB", b"XPUB"}), subscribes=True)
ROUTER = Role(b"ROUTER", 6, frozenset({b"REQ", b"DEALER", b"ROUTER"}), subscribes=False)
DEALER = Role(b"DEALER", 5, frozenset({b"ROUTER"}), subscribes=False)

_NUMBERS = {b"PUB": 1, b"SUB": 2, b"REQ": 3, b"REP": 4, b"DEALER": 5, b"ROUTER": 6, b"XPUB": 9, b"XSUB": 10}


class Handshake:
    """The beginning of a connection, up to where messages begin.

    Args:
        role: of our end.

    Attributes:
        output: bytes to send; the sender empties it.
        version: 1, 2 or 3 once the handshake is over, else 0.
        rest: bytes that the peer has sent behind its handshake.
    """

    def __init__(self, role: Role) -> None:
        self.output = bytearray(_SIGNATURE)
        self.version = 0
        self.rest = b""
        self._role = role
        self._received = b""
        self._revision_sent = self._greeting_sent = False

    def feed(self, data: bytes) -> None:
        """Take in bytes of the peer.

        Args:
            data: the next bytes.

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
        """Pass over the first frame, which is the peer's identity in ZMTP 1.0 and 2.0."""
        frame = frame_v1(received, 0) if version == 1 else frame_v2(received, 0)
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
            self.output += bytes([COMMAND, len(body)]) + body
            self._greeting_sent = True
        if len(received) < _GREETING_BYTES_3:
            return
        mechanism = received[12:32].rstrip(b"\0")
        if mechanism != b"NULL":
            raise ProtocolError("it wants a security mechanism, and this relay has none")
        frame = frame_v2(received, _GREETING_BYTES_3)
        if frame is None or frame.stop > len(received):
            return
        body = received[frame.start : frame.stop]
        if not frame.flags & COMMAND or not body.startswith(b"\x05READY"):
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
