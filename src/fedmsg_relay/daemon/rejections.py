"""Messages that are not taken: into the quarantine and the log."""

from __future__ import annotations

from typing import NamedTuple

from fedmsg_relay.daemon.screening import Ruling, Screening, origin
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.quarantine import AT_SUBMIT
from fedmsg_relay.journal.records import Rejected
from fedmsg_relay.message import Reason
from fedmsg_relay.network.zmtp import Message, Oversize
from fedmsg_relay.runtime.drops import DropLog


class Rejection(NamedTuple):
    """A message that is not taken: why, from which IP address, what is kept of it, and what is known of its signer."""

    reason: str
    source: str
    topic: bytes
    body: bytes
    ruling: Ruling | None = None


class Rejections:
    """Puts messages that are not taken into a turn, for the quarantine, and logs them.

    Args:
        screening: of signatures; it counts messages that are not trusted.
    """

    def __init__(self, screening: Screening) -> None:
        self._screening = screening
        self._drops = DropLog()

    def note(self, turn: Turn, rejection: Rejection, size: int | None = None) -> None:
        """Note a message that is not taken.

        Args:
            turn: takes it for the quarantine.
            rejection: the message.
            size: its bytes, where less of it is kept.
        """
        reason, source, topic, body, ruling = rejection
        turn.dropped[reason] += 1
        turn.rejected.append(Rejected(str(reason), source, topic, body, size or len(topic) + len(body)))
        source = source.removesuffix(AT_SUBMIT)
        if ruling is not None:
            self._screening.note(ruling, source)
            source = origin(source, ruling)
        self._drops.note(str(reason), source)

    def note_unreadable(self, turn: Turn, found: Message, source: str) -> None:
        """Note a message from inbound that does not have two frames, or is too large to be kept.

        Args:
            turn: takes it for the quarantine.
            found: the message.
            source: the IP address that it is from.
        """
        turn.counts.quarantined += 1
        if isinstance(found, Oversize):
            reason = Reason.TOO_LARGE if found.frames == 2 else Reason.FRAME_COUNT
            self.note(turn, Rejection(reason, source, found.first, found.others), found.size)
        else:
            self.note(turn, Rejection(Reason.FRAME_COUNT, source, found[0], b"".join(found[1:])))

    def report(self, everything: bool) -> None:
        """Log what was not taken.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._drops.report(everything)
