"""The progress of the way forward: what is read from the journal, what became of it, and the cursor behind that."""

from __future__ import annotations

import time
from collections import deque
from typing import TypedDict

from fedmsg_relay.bridge.ledger import Aside, Ledger, LedgerError
from fedmsg_relay.bridge.mapping import FromBroker, Reason, outgoing
from fedmsg_relay.bridge.reading import Ends, Reader
from fedmsg_relay.bridge.retrying import Retrying
from fedmsg_relay.bridge.window import Item, State, Window
from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Record
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.runtime.log import log

RETRY_SECONDS = 1.0
"""Time after which a journal or a ledger that could not be used is tried again."""

FORGET_SECONDS = 10.0
"""Interval at which notes of messages from AMQP that are not needed any more are removed."""

JUMP = 10**12
"""Missing numbers beyond which nobody knows how many messages they stood for: a journal was begun anew."""

_SAMPLES = 1000
COUNTERS = ("begin", "cursor", "confirmed", "unroutable", "skipped", "set_aside", "gap", "jumped", "resent", "renewed")
_COUNTED = {State.CONFIRMED: "confirmed", State.SKIPPED: "skipped", State.SET_ASIDE: "set_aside", State.GAP: "gap"}


class LagStatus(TypedDict):
    """Seconds from the journal to the broker's confirm, of the last messages."""

    median: float
    p95: float
    most: float


class Progress:
    """Reads the journal in order, and moves the cursor over the unbroken front of what is done with.

    Args:
        reader: reads the journal.
        ledger: remembers the cursor.
        relay: identity of the relay.
        start: where a bridge without a ledger begins: ``oldest``, ``now`` or a ``seq``.
        tapped: whether a comparator has to know what was not sent.

    Attributes:
        window: the messages between the cursor and the end of what was read.
        counters: by name; ``renewed`` is how often the journal was begun anew.
        committed: the cursor as it is in the ledger.
        fault: why the journal or the ledger cannot be used now; empty if they can.
        has_more: whether the journal may have messages that were not read yet.
        careful_until: ``seq`` up to which messages go one at a time, to find the one that the broker refuses.
    """

    def __init__(self, reader: Reader, ledger: Ledger, relay: str, start: str, tapped: bool) -> None:
        self.window = Window()
        self.fault = ""
        self._reader = reader
        self._ledger = ledger
        self._relay = relay
        self._start = start
        self._tapped = tapped
        self._retrying = Retrying(reader, ledger, relay)
        self._asides: list[Aside] = []
        self._drops = DropLog("forward: set aside %d %s: %s (last of topic %s)")
        self._unsent: list[tuple[int, int]] = []
        self._lags: deque[float] = deque(maxlen=_SAMPLES)
        self._written: dict[str, int] = {}
        self._unwritten = False  # then nothing more is sent: a crash would send it all again
        self.has_more = True
        self.careful_until = 0
        self._retry_at = self._forget_at = 0.0
        known = ledger.counters("forward.")
        self.counters = {name: known.get(name, 0) for name in COUNTERS}
        self._time = ledger.counters("cursor.").get("time", 0)  # when the message at the cursor was journaled, if known
        self._file: tuple[int, int] | None = None  # in which that message was looked at
        self._begun = "begin" in known
        self._read = self.committed = self.counters["cursor"]

    def refill(self, room: int) -> None:
        """Read messages, if there are new ones and room for them.

        Args:
            room: number of messages that the window may have.
        """
        if self._unwritten or time.monotonic() < self._retry_at:
            return
        try:
            if self._reader.changed():
                self.has_more = True
                self._check_ends()
            while self.has_more and self.window.has_room(room):
                records = self._reader.messages_after(self._read, room - len(self.window))
                self.has_more = bool(records)
                noted = self._ledger.noted_among(records)
                for record in records:
                    self._add(record, record.seq in noted)
            if self._begun and (item := self._retrying.take()):
                self.window.add(item)
            self._recover()
        except (JournalError, LedgerError) as error:
            self._reader.forget()
            self._fail(str(error))

    def advance(self) -> None:
        """Move the cursor over what is done with."""
        for item in self.window.take_final():
            self._account(item)

    def commit(self) -> None:
        """Move the cursor, and write everything that has changed."""
        self.advance()
        self._drops.report()
        changed = self.counters != self._written or self._retrying.news
        if not self._begun or not changed or time.monotonic() < self._retry_at:
            return
        try:
            with self._ledger.transaction() as db:
                self._ledger.write_counters(db, "forward.", self.counters)
                self._ledger.write_counters(db, "cursor.", {"time": self._time})
                if self._asides:
                    self._ledger.write_aside(db, self._asides)
                self._retrying.write(db)
                if self._unsent:
                    db.executemany("INSERT OR REPLACE INTO unsent VALUES (?, ?)", self._unsent)
                if time.monotonic() >= self._forget_at:
                    self._forget_at = time.monotonic() + FORGET_SECONDS
                    db.execute("DELETE FROM noted WHERE upto <= ?", (self.counters["cursor"],))
        except LedgerError as error:
            self._unwritten = True
            self._fail(str(error))
            return
        self._unwritten = False
        self._asides, self._unsent = [], []
        self._retrying.written()
        self._written = dict(self.counters)
        self.committed = self.counters["cursor"]
        self._recover()

    def note_confirmed(self, item: Item) -> None:
        """Note that the broker has a message."""
        item.state, item.message = State.CONFIRMED, None
        self._lags.append(max(0.0, time.time() - item.time / 1e6))

    def lag(self) -> LagStatus | None:
        """Describe the lag of the last messages; None before the first."""
        lags = sorted(self._lags)
        if not lags:
            return None
        return {"median": lags[len(lags) // 2], "p95": lags[len(lags) * 95 // 100], "most": lags[-1]}

    def _check_ends(self) -> None:
        """Begin at the right place, also where the journal was removed and begun anew."""
        ends = self._reader.ends()
        if not self._begun:
            cursor = {"now": ends.last, "oldest": ends.first - 1}.get(self._start)
            self._restart(max(0, int(self._start) - 1) if cursor is None else cursor)
            log.info("forward: begins after seq %d", self._read)
        elif why := self._is_another(ends):
            log.error("forward: the journal %s: it was begun anew, and the counters with it", why)
            self._restart(ends.first - 1)

    def _is_another(self, ends: Ends) -> str:
        """Say how the journal shows that it is not the one whose messages were sent; empty if it does not.

        Another file may have as many messages as were sent, or more: then the time of the last one of these tells.
        """
        cursor = self.counters["cursor"]
        if ends.last < cursor:
            return f"ends at seq {ends.last} and {cursor} were sent"
        if self._file != self._reader.file and self._time:
            for record in self._reader.messages_after(cursor - 1, 1):
                if record.seq == cursor and record.intact and record.time != self._time:
                    return f"has another message {cursor} than the one that was sent"
            self._file = self._reader.file
        return ""

    def _restart(self, cursor: int) -> None:
        """Begin with a journal; that is written before anything of it is sent, as the comparator has to know it first.

        Raises:
            LedgerError: it cannot be written; then nothing has changed.
        """
        renewed = self.counters["renewed"] + self._begun
        counters = {**dict.fromkeys(COUNTERS, 0), "begin": cursor, "cursor": cursor, "renewed": renewed}
        self._ledger.begin_anew(counters)
        self.window.clear()
        self._retrying.forget()
        self._asides, self._unsent = [], []
        self.counters, self._written = counters, dict(counters)
        self._read = self.committed = cursor
        self._begun, self.careful_until, self._time = True, 0, 0

    def _add(self, record: Record, noted: bool) -> None:
        found = outgoing(record, self._relay)
        if record.seq > self._read + 1:
            gap = Item(self._read + 1, record.seq - 1, State.GAP)
            log.error("forward: the journal has no messages %d to %d: they were never sent", gap.first, gap.last)
            self.window.add(gap)
        self._read = record.seq
        item = Item(record.seq, record.seq, State.WAITING, record.time)
        if isinstance(found, Reason):
            item.state = State.SET_ASIDE
            self.note_aside(item, found, "", record.topic.decode(errors="replace"))
        elif isinstance(found, FromBroker) or noted:
            item.state = State.SKIPPED
        else:
            item.message = found
        self.window.add(item)

    def note_aside(self, item: Item, reason: Reason, detail: str, topic: str) -> None:
        """Remember a message that is set aside."""
        self._drops.note(reason, topic[:300])
        self._asides.append(Aside(item.first, item.time, str(reason), detail, topic[:1000]))

    def _account(self, item: Item) -> None:
        if item.again:
            self._retrying.note(item)
            if item.state is State.CONFIRMED:
                self.counters["set_aside"] -= 1
                self.counters["confirmed"] += 1
                self.counters["unroutable"] += item.unroutable
            return
        count = item.last - item.first + 1
        name = "jumped" if item.state is State.GAP and count >= JUMP else _COUNTED[item.state]
        self.counters[name] += count
        self.counters["unroutable"] += item.unroutable
        self.counters["cursor"], self._time = item.last, item.time
        if item.state is not State.CONFIRMED and self._tapped:
            if self._unsent and self._unsent[-1][1] == item.first - 1:
                self._unsent[-1] = (self._unsent[-1][0], item.last)
            else:
                self._unsent.append((item.first, item.last))

    def _fail(self, why: str) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if why != self.fault:
            log.error("forward: %s", why)
        self.fault = why

    def _recover(self) -> None:
        if self.fault:
            log.info("forward: journal and bridge.db can be used again")
            self.fault = ""
