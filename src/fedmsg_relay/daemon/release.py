"""Releases messages of the quarantine: they go through admission again, and if they pass, into the journal.

An operator asks for it (``fedmsg-relay journal release``) when a policy was wrong, or CA and CRL can be used again.
The pipeline takes a step in each turn, beside what comes meanwhile. A message leaves the quarantine in the transaction
that journals it, so a kill neither loses it nor brings it out twice.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from typing import TypedDict

from fedmsg_relay.daemon.admission import Admission
from fedmsg_relay.daemon.turn import Turn
from fedmsg_relay.journal.guard import JournalGuard
from fedmsg_relay.journal.records import Entry, Rejected
from fedmsg_relay.runtime.log import log

STEP_MESSAGES, STEP_BYTES = 200, 1024 * 1024
"""Messages, and bytes of them, after which a step ends."""

CUT = "cut"
"""Why a message stays that is larger than what the quarantine could keep of it."""


class Progress(TypedDict):
    """How a release stands.

    Attributes:
        messages: number of messages in the quarantine that it looks at.
        looked: number of those it has looked at.
        released: number of messages that are in the journal now.
        duplicates: number of messages that were in the journal already.
        kept: numbers of messages that stay, by reason.
        ended: whether it is over.
        fault: why it ended early; empty where it did not.
    """

    messages: int
    looked: int
    released: int
    duplicates: int
    kept: dict[str, int]
    ended: bool
    fault: str


class Release:
    """One release. The loop works on it, and another thread reports.

    Args:
        reasons: release messages that are in the quarantine for these.

    Attributes:
        ended: set when it is over.
        cancelled: set by a thread that does not want it to go on.
    """

    def __init__(self, reasons: frozenset[str]) -> None:
        self.reasons = reasons
        self.ended = threading.Event()
        self.cancelled = threading.Event()
        self.numbers: deque[int] = deque()
        self.messages = 0
        self.released = 0
        self.duplicates = 0
        self.kept: Counter[str] = Counter()
        self.fault = ""

    def begin(self, numbers: list[int]) -> None:
        """Note what is to be looked at.

        Args:
            numbers: ids of the messages.
        """
        self.numbers = deque(numbers)
        self.messages = len(numbers)

    def end(self, fault: str = "") -> None:
        """End it.

        Args:
            fault: why that is early; empty where it is not.
        """
        self.fault = fault
        self.ended.set()

    def progress(self) -> Progress:
        """Tell how it stands."""
        ended = self.ended.is_set()  # first: then the rest is how it ended
        return {
            "messages": self.messages,
            "looked": self.messages - len(self.numbers),
            "released": self.released,
            "duplicates": self.duplicates,
            "kept": dict(self.kept),
            "ended": ended,
            "fault": self.fault,
        }


class Releases:
    """Works on releases, one after the other.

    Args:
        admission: looks at the messages.
        guard: of the journal.
    """

    def __init__(self, admission: Admission, guard: JournalGuard) -> None:
        self._admission = admission
        self._guard = guard
        self._asked: queue.SimpleQueue[Release] = queue.SimpleQueue()
        self._current: Release | None = None
        self._taken = self._duplicates = 0
        self._stopped = False

    @property
    def pending(self) -> bool:
        """Whether there is more to do at once."""
        return self._current is not None or not self._asked.empty()

    @property
    def counted(self) -> int:
        """Number of messages that this turn has received from the quarantine."""
        return self._taken + self._duplicates

    def ask(self, release: Release) -> None:
        """Let a release wait for its turn. Thread-safe.

        Args:
            release: to work on.
        """
        self._asked.put(release)

    def step(self, turn: Turn, max_size: int) -> None:
        """Take some messages of the quarantine into a turn, behind all others.

        Args:
            turn: takes them.
            max_size: maximum bytes of a message.
        """
        self._taken = self._duplicates = 0
        if self._stopped:
            self.stop()
            return
        if self._current is None and not self._begin():
            return
        release = self._current
        if release is None or release.cancelled.is_set():
            self._end("it was cancelled")
            return
        looked = size = 0
        while release.numbers and looked < STEP_MESSAGES and size < STEP_BYTES:
            rejected = self._guard.read_quarantined(number := release.numbers[0])
            if self._guard.fault:
                return
            release.numbers.popleft()
            looked += 1
            if rejected is not None and rejected.reason in release.reasons:
                size += len(rejected.topic) + len(rejected.body)
                self._look(number, rejected, turn, max_size)

    def settle(self, turn: Turn, journaled: bool) -> None:
        """Count what was released, once it is known whether it is on disk.

        Args:
            turn: the turn of the last step.
            journaled: whether it is on disk.
        """
        release = self._current
        if release is None:
            return
        if journaled:
            release.released += self._taken
            release.duplicates += self._duplicates
        else:
            turn.counts.received -= self._taken + self._duplicates
            turn.counts.duplicates -= self._duplicates
            self._taken = self._duplicates = 0
        if fault := self._guard.fault:
            self._end(f"the journal cannot be used: {fault}")
        elif not release.numbers:
            self._end()

    def stop(self) -> None:
        """End all releases, also later ones, as the relay is being stopped."""
        self._stopped = True
        while self._current is not None or self._begin():
            self._end("the relay is being stopped")

    def _begin(self) -> bool:
        try:
            self._current = self._asked.get_nowait()
        except queue.Empty:
            return False
        journal = self._guard.journal
        self._current.begin(journal.quarantine.releasable() if journal else [])
        return True

    def _look(self, number: int, rejected: Rejected, turn: Turn, max_size: int) -> None:
        """Look at a message again, and take it if it passes."""
        release = self._current
        if release is None:
            return
        topic, body = rejected.topic, rejected.body
        if len(topic) + len(body) < rejected.size:
            release.kept[CUT] += 1
            return
        try:
            outside = not self._admission.sources.may_be_released(rejected.source)
            look = self._admission.look(topic, body, max_size, outside)
        except MemoryError:
            log.error("not enough memory to check a message of %d bytes: it stays in the quarantine", len(body))
            release.kept[rejected.reason] += 1
            return
        if look.reason is not None:
            release.kept[str(look.reason)] += 1
            return
        turn.released.append(number)
        turn.size += len(topic) + len(body)
        turn.counts.received += 1
        if self._admission.take(Entry(topic, body, look.msg_id), look.ruling, rejected.source, turn):
            self._taken += 1
        else:
            self._duplicates += 1

    def _end(self, fault: str = "") -> None:
        release, self._current = self._current, None
        if release is None:
            return
        release.end(fault)
        told = ", ".join(f"{count} {reason}" for reason, count in release.kept.items()) or "none"
        log.info(
            "released %d messages of the quarantine, %d were in the journal already; kept: %s%s",
            release.released,
            release.duplicates,
            told,
            f"; ended early: {fault}" if fault else "",
        )
