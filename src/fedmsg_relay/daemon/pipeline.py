"""The pipeline: every message, from inbound or submit, goes through these stages, a turn's worth at a time:

    receive and admit -> journal -> send -> count -> answer -> note published -> report -> trim

=================  =====================================================================================
receive and admit  read what peers sent, and decide what is taken (:mod:`fedmsg_relay.daemon.admission`); look again
                   at messages of the quarantine (:mod:`fedmsg_relay.daemon.release`)
journal            write the turn's messages to disk, in one transaction
send               publish at outbound, or submit to the upstream (:mod:`fedmsg_relay.daemon.stage`)
count              add the turn to the counters, which must add up
answer             send receipts, and all other replies, to submitters
note published     note in the journal how far messages are published, now and then
report             log what was dropped
trim               take a step of retention
=================  =====================================================================================

Invariants:

1. What is published is exactly what was received: the same two frames, never re-encoded.
2. Nothing is published that is not in the journal, and no receipt is given before the messages are on disk. (Where the
   journal cannot be written, submit answers busy, and messages from inbound are published without it, with an error in
   the log.)
3. Every message received is journaled, unjournaled, quarantined, refused or a duplicate, and counted as one of these.
4. Messages are published in the order of their ``seq``, so those of one publisher in the order in which they came.
"""

from __future__ import annotations

import time

from fedmsg_relay import submit, tcp
from fedmsg_relay.daemon.accounting import Accounting
from fedmsg_relay.daemon.admission import FAULT_RETRY_AFTER, Admission
from fedmsg_relay.daemon.delays import Delays
from fedmsg_relay.daemon.release import Releases
from fedmsg_relay.daemon.settings import Settings
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.runtime.log import log
from fedmsg_relay.trust import reasons as trust


class Pipeline:
    """Takes messages from inbound and submit to the journal, to the next stage, and to their receipts.

    Args:
        admission: takes messages from inbound and submit.
        submits: where submitters are connected.
        guard: of the journal.
        stage: after the journal.
        settings: the daemon's own settings; may be replaced.

    Attributes:
        settings: the daemon's own settings.
        accounting: the counters.
        delays: how long messages take.
        reused_names: number of messages that had the ``msg_id`` of another message.
        releases: of messages of the quarantine.
    """

    def __init__(
        self, admission: Admission, submits: Receiver, guard: JournalGuard, stage: Stage, settings: Settings
    ) -> None:
        self.settings = settings
        self.accounting = Accounting()
        self.delays = Delays(guard.last)
        self.reused_names = 0
        self._submits = submits
        self._guard = guard
        self._stage = stage
        self._admission = admission
        self.releases = Releases(admission, guard)
        self._unanswered = DropLog("%d %s %s (last to %s)", "answer")
        self._count(Turn(guard.last))

    @property
    def turned_back(self) -> int:
        """Number of submitted batches whose submitters were told to try again, as too many batches wait."""
        return self._admission.turned_back

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do until something comes."""
        return self._stage.idle and not self._admission.has_more

    def turn(self) -> bool:
        """Take one turn's messages through all stages, without waiting.

        Returns:
            Whether there is more to do at once.
        """
        began = time.monotonic()
        self._guard.recover()
        turn = Turn(self._guard.last)
        self._receive_and_admit(turn)
        self._journal(turn)
        more_to_send = self._send(turn)
        self.delays.note(began, self._guard.last, self._guard.cursor.sent)
        self._count(turn)
        self._answer(turn)
        self._note_published()
        self._report()
        more_to_trim = self._trim()
        return more_to_send or more_to_trim or self._admission.has_more or self.releases.pending

    def close(self) -> None:
        """Log what is still to be logged."""
        self._report(everything=True)

    def _receive_and_admit(self, turn: Turn) -> None:
        self._admission.fill(turn, self.settings)
        self.releases.step(turn, self.settings.limits.max_message_size)

    def _journal(self, turn: Turn) -> None:
        journaled = self._guard.append(turn.entries, turn.rejected, turn.size, turn.known, turn.released)
        self.releases.settle(turn, journaled)
        if not journaled:
            self._go_on_unjournaled(turn)
            return
        turn.counts.journaled += len(turn.entries)
        self.reused_names += turn.renamed
        turn.counts.duplicates += sum(receipt.duplicates for receipt in turn.receipts)

    def _go_on_unjournaled(self, turn: Turn) -> None:
        """Take back what was submitted: its submitters try again. Messages from inbound have no other chance.

        Messages that were to be released stay in the quarantine. Those that were to wait there are lost.
        """
        waited = sum(rejected.reason == trust.Reason.TRUST_UNUSABLE for rejected in turn.rejected)
        if waited:
            log.error("%d messages that should wait for CA or CRL could not be kept: lost", waited)
        for receipt in turn.receipts:
            turn.answers.append((receipt.to, submit.Busy(FAULT_RETRY_AFTER).encode()))
            turn.counts.received -= receipt.messages
        turn.receipts.clear()
        del turn.entries[turn.from_inbound :]
        turn.counts.unjournaled += len(turn.entries)

    def _send(self, turn: Turn) -> bool:
        return self._stage.send_unjournaled(turn) if turn.counts.unjournaled else self._stage.send(turn)

    def _count(self, turn: Turn) -> None:
        turn.counts.carried += self._guard.take_carried()
        if turn.counts:
            ways = {"inbound": turn.at_inbound, "quarantine": self.releases.counted}
            ways["submit"] = turn.counts.received - sum(ways.values())
            if not self.accounting.add(turn.counts, self._guard.waiting, turn.dropped, ways):
                log.error("the counters do not add up: %s", self.accounting.totals())

    def _answer(self, turn: Turn) -> None:
        receipts = [(due.to, submit.Accepted(due.first, due.last, due.duplicates).encode()) for due in turn.receipts]
        for to, answer in (*receipts, *turn.answers):
            if not self._submits.reply(to.peer, [*to.route, submit.VERSION, answer]):
                self._unanswered.note("not sent, as the submitter was gone", tcp.host_of(to.peer.address))
        self._submits.flush()

    def _note_published(self) -> None:
        """Note the last ones after the answers, as no submitter waits for this note."""
        self._stage.note_published()

    def _report(self, everything: bool = False) -> None:
        self._admission.report(everything)
        self._unanswered.report(everything)

    def _trim(self) -> bool:
        """Trim in every turn, also when more is to do: under load it would otherwise never be done."""
        return self._guard.trim(self.settings.journal)
