"""Refuses requests and batches at submit: the answer says why, and the journal takes nothing of them."""

from __future__ import annotations

from fedmsg_relay import submit, tcp
from fedmsg_relay.daemon.backlog import Batch
from fedmsg_relay.daemon.rejections import Rejection, Rejections
from fedmsg_relay.daemon.sources import Sources
from fedmsg_relay.daemon.turn import ReturnPath, Turn
from fedmsg_relay.journal.quarantine import AT_SUBMIT
from fedmsg_relay.network.request import Malformed
from fedmsg_relay.trust.reasons import Reason


class Refusals:
    """Answers what is refused, counts it, and notes it for the quarantine.

    Args:
        rejections: take messages for the quarantine and the log.
        sources: count what is refused because of its IP address.
    """

    def __init__(self, rejections: Rejections, sources: Sources) -> None:
        self._rejections = rejections
        self._sources = sources

    def refuse_request(self, request: Malformed, reply_to: ReturnPath, turn: Turn) -> None:
        """Refuse a request that is not a batch; it counts as one message.

        Args:
            request: what is wrong with it.
            reply_to: where the answer goes.
            turn: takes the answer.
        """
        turn.counts.received += 1
        turn.counts.refused += 1
        self._rejections.note(turn, Rejection(request.code, tcp.host_of(reply_to.peer.address), b"", b""))
        turn.answers.append((reply_to, submit.Refused(request.code, request.detail).encode()))

    def refuse_batch(self, batch: Batch, turn: Turn, rejection: Rejection, number: int) -> None:
        """Refuse a batch for one of its messages.

        Args:
            batch: the batch.
            turn: takes the answer.
            rejection: the message.
            number: of the message, counted from 1.
        """
        if isinstance(rejection.reason, Reason):
            rejection = rejection._replace(source=f"{rejection.source}{AT_SUBMIT}")
        turn.counts.received += len(batch.messages)
        turn.counts.refused += len(batch.messages)
        self._rejections.note(turn, rejection)
        turn.dropped[rejection.reason] += len(batch.messages) - 1
        detail = f"message {number} of {len(batch.messages)}; none of them was taken"
        if rejection.reason == Reason.SOURCE_NOT_ALLOWED:
            self._sources.submit_refused.add(batch.reply_to.peer.ip, len(batch.messages))
            detail = f"from {batch.reply_to.peer.ip}; {detail}"
        if rejection.ruling is not None and rejection.ruling.signer is not None:
            detail = f"{'signed by' if rejection.ruling.is_proven else 'claims'} {rejection.ruling.signer}; {detail}"
        turn.answers.append((batch.reply_to, submit.Refused(rejection.reason, detail).encode()))
