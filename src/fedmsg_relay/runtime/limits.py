"""Every limit on what a peer may cost the relay. docs/protocol.md has them for users.

Limits on a message are in :mod:`fedmsg_relay.message`, limits that a user may change in relay.toml.
"""

from __future__ import annotations

import resource

# A message.

MAX_FRAMES = 10_000
"""Frames of one message; the connection that sends more is cut."""

CUT_FACTOR, MIN_CUT_BYTES = 4, 64 * 1024 * 1024
"""A connection is cut for a message of more than this multiple of the size limit, or these bytes if they are more.

Up to there a message that is too large is read, counted with its reason and dropped; none of it is kept in memory.
"""

MIN_REQUEST_BYTES = 16 * 1024 * 1024
"""Bytes of a submitted batch: these, or the size limit of a message if that is more."""

REQUEST_HEADROOM = 64 * 1024
"""Bytes of a submitted batch besides its messages."""

HELD_BYTES = 96 * 1024 * 1024
"""Bytes of unfinished messages that all peers of an endpoint may hold before those with much of one have to wait.

Beyond it only the message that began first is read on, and what is small: up to ``UNHELD_BYTES`` of each peer.
"""

UNHELD_BYTES = 64 * 1024
"""Bytes of an unfinished message that are read whatever the others hold."""

STALLED_SECONDS, UNFINISHED_SECONDS = 1.0, 10.0
"""While others wait, a peer is cut that sends nothing for this time, or takes this time, to finish its message."""

# A connection.

GREETING_BYTES = 8 * 1024
"""Bytes of a handshake."""

GREETING_SECONDS = 10.0
"""Seconds of a handshake; then the connection is closed."""

COMMAND_BYTES = 1024
"""Bytes of a ZMTP command."""

UNREAD_BYTES = 256 * 1024
"""Bytes of answers that a peer may leave unread; then it is cut."""

WAITING_REQUESTS = 100
"""Requests of one submitter that may wait for their turn; it is told that the relay is busy for those beyond.

By the protocol a submitter sends one request at a time, so this holds up only a submitter that does not.
"""

LISTENER_BYTES, LISTENER_BYTES_A_SECOND = 1024 * 1024, 16 * 1024
"""Bytes that a listener may send, which are subscriptions: at once, and more of them for each second it is there."""

# A turn of the relay's loop.

TURN_MESSAGES = 2000
"""Messages a turn takes from one endpoint, so that peers, signals and the watchdog are seen to between two."""

TURN_FRAMES = 100_000
"""Frames after which a turn takes no further message from an endpoint: a batch is one message of up to 2,000 frames."""

TURN_BYTES = 16 * 1024 * 1024
"""Bytes after which a turn takes no further message from an endpoint."""

GATHER_BYTES, GATHER_SECONDS = 16 * 1024, 0.01
"""A turn that has read these bytes since it last looked at an endpoint looks again, for this time at most.

What has come meanwhile is read in the same turn. Each turn is one transaction, so larger ones cost less a message. A
turn with less is published at once.
"""

BACKLOG_BYTES = 32 * 1024 * 1024
"""Bytes of submitted batches that may wait for their turn; beyond that the relay answers busy."""

TURN_SUBSCRIPTIONS = 200
"""Subscriptions of listeners that a turn looks at."""

# A relay upstream, and what is under way to it.

ANSWER_BYTES = 64 * 1024
"""Bytes of what it answers."""

LINK_FRAMES = 8
"""Frames of a message that is kept of it; it sends two or three."""

MIRROR_BYTES, MESSAGE_OVERHEAD = 32 * 1024 * 1024, 256
"""Bytes of what it published that are held until they may be forwarded, and bytes that each message counts besides."""

FORWARD_MESSAGES, FORWARD_BYTES = 1000, 1024 * 1024
"""Messages and bytes of a batch that is forwarded to it."""

ECHO_MESSAGES, ECHO_BYTES = 2000, 16 * 1024 * 1024
"""Of messages that were forwarded and did not come out here yet; beyond it no further batch is forwarded."""

HEARD_MESSAGES = 25_000
"""Messages heard last that are remembered at least, and twice as many at most."""

UNJOURNALED_MESSAGES = 10_000
"""Messages kept in memory where they could neither be journaled nor forwarded."""

# All connections.

RESERVED_FILES = 64
"""File descriptors that are not for peers: the journal, the log, the status socket, and what libzmq needs."""

ADDRESS_SHARE = 0.5
"""Share of an endpoint's connections that one IP address may hold."""

SILENT_SECONDS = 5.0
"""Time without bytes after which a peer may have to make room for a new one."""

CROWDED_SECONDS = 60.0
"""Time for which ``status`` tells that connections were turned away."""


def connections() -> int:
    """Maximum number of connections of each endpoint, by the limit of open files of this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, (soft - RESERVED_FILES) // 3)


def cut_bytes(max_message_size: int) -> int:
    """Tell the size of a message beyond which its connection is cut.

    Args:
        max_message_size: bytes that a message may have.
    """
    return max(MIN_CUT_BYTES, CUT_FACTOR * max_message_size)


def request_bytes(max_message_size: int) -> int:
    """Tell the maximum size of a submitted batch.

    Args:
        max_message_size: bytes that a message may have.
    """
    return max(MIN_REQUEST_BYTES, max_message_size) + REQUEST_HEADROOM
