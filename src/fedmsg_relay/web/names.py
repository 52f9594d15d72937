"""An index of ``msg_id`` in memory: 4 bytes for each message of the journal.

The journal has none, as it would cost the relay's pipeline. So a thread reads every ``msg_id`` once, and keeps a
fingerprint of 32 bits of each, in the order of ``seq``. A look-up finds the places of a fingerprint, and reads the
messages there: seldom more than one. Nobody can make many messages with one fingerprint, as its key is another one in
each process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Record, digest
from fedmsg_relay.web import limits
from fedmsg_relay.web.history import History
from fedmsg_relay.web.source import Source

_BYTES = 4
_BLOCK = 1 << 16
"""Messages of one block of the index."""

_REST_SECONDS = 1.0
"""Interval at which the thread looks for new messages; a look-up does so itself."""


class _Block:
    """Fingerprints of messages whose numbers follow on each other."""

    def __init__(self, first: int, prints: bytearray) -> None:
        self.first = first
        self.prints = prints

    @property
    def last(self) -> int:
        return self.first + len(self.prints) // _BYTES - 1

    def places(self, wanted: bytes) -> Iterator[int]:
        """Yield the ``seq`` of each message with a fingerprint, the oldest first."""
        at = -1
        while (at := self.prints.find(wanted, at + 1)) >= 0:
            if at % _BYTES == 0:
                yield self.first + at // _BYTES

    def newest_places(self, wanted: bytes) -> Iterator[int]:
        """Do the same, the newest first."""
        end = len(self.prints)
        while (at := self.prints.rfind(wanted, 0, end)) >= 0:
            if at % _BYTES == 0:
                yield self.first + at // _BYTES
            end = at + _BYTES - 1


class Names:
    """Finds messages by ``msg_id``.

    Args:
        source: the journal.

    Attributes:
        complete: whether the index has every message of the journal, but for new ones.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._blocks: list[_Block] = []  # in the order of seq
        self.complete = False

    def find(self, msg_id: str) -> Record | None:
        """Find the newest message with a ``msg_id``.

        Raises:
            JournalError: the journal cannot be read; or the message is not among the newest, and the index is not
                complete yet.
        """
        wanted = _fingerprint(msg_id)
        with self._source.opened() as journal:
            blocks, complete = self._latest(journal)
            places: Iterable[int]
            if complete:
                places = (seq for block in reversed(blocks) for seq in block.newest_places(wanted))
            else:
                places = journal.newest_named(msg_id, limits.SCANNED_ROWS)
            for seq in islice(places, limits.NAMESAKES):
                for record in journal.read([seq]):  # one at a time: they may be large
                    if record.msg_id == msg_id:
                        return record
        if not complete:
            raise _incomplete()
        return None

    def number(self, msg_id: str) -> int | None:
        """Find the ``seq`` of the newest message with a ``msg_id``; see :meth:`find`."""
        found = self.find(msg_id)
        return found and found.seq

    def place(self, msg_id: str, known: str = "") -> int | None:
        """Find the ``seq`` of the message that a listener has had, to go on after it.

        It is the oldest one with that ``msg_id``. Anybody can publish another one later, and a listener that went on
        after that one would not get what lies between.

        Args:
            msg_id: of the message.
            known: digest of the message, in hexadecimal digits, if the listener knows it; then no other one is found.

        Raises:
            JournalError: the journal cannot be read, or the index is not complete yet.
        """
        wanted = _fingerprint(msg_id)
        with self._source.opened() as journal:
            blocks, complete = self._latest(journal)
            if not complete:
                raise _incomplete()
            for seq in islice((seq for block in blocks for seq in block.places(wanted)), limits.NAMESAKES):
                # By the names alone, as the message itself may be damaged.
                if journal.names(seq - 1, 1) == [(seq, msg_id)] and (not known or _digest(journal, seq) == known):
                    return seq
        return None

    def _latest(self, journal: History) -> tuple[list[_Block], bool]:
        """Add the newest messages; get the index as it is now, and whether it is complete."""
        with self._lock:
            self._extend(journal, limits.SCANNED_ROWS)
            return [_Block(block.first, block.prints) for block in self._blocks], self.complete

    def keep(self, ended: threading.Event) -> None:
        """Make the index, and keep it up to date, until the end.

        Args:
            ended: set at the end of the process.
        """
        pause = 0.0
        while not ended.wait(pause):
            began = time.monotonic()
            try:
                with self._source.opened() as journal, self._lock:
                    self._extend(journal, limits.NAMES_AT_ONCE)
            except JournalError:  # a look-up says why
                pause = _REST_SECONDS
            else:
                # Half of the time is left to other threads.
                pause = _REST_SECONDS if self.complete else time.monotonic() - began

    def _extend(self, journal: History, count: int) -> None:
        """Add messages that are newer than the index, up to a number."""
        ends = journal.ends()
        if ends is None or (self._blocks and ends[1] < self._blocks[-1].last):  # another journal
            self._blocks, self.complete = [], ends is None
        if ends is None:
            return
        while self._blocks and self._blocks[0].last < ends[0]:  # retention has removed them
            del self._blocks[0]
        while len(self._blocks) > limits.NAMES // _BLOCK:
            del self._blocks[0]
        found = journal.names(self._blocks[-1].last if self._blocks else 0, count)
        for seq, msg_id in found:
            if not self._blocks or seq != self._blocks[-1].last + 1 or len(self._blocks[-1].prints) >= _BLOCK * _BYTES:
                self._blocks.append(_Block(seq, bytearray()))
            self._blocks[-1].prints += _fingerprint(msg_id)
        self.complete = len(found) < count


def _fingerprint(msg_id: str | None) -> bytes:
    return (hash(msg_id) & 0xFFFFFFFF).to_bytes(_BYTES, "little")


def _digest(journal: History, seq: int) -> str:
    for record in journal.read([seq]):
        return digest(record.topic, record.body).hex()
    return ""


def _incomplete() -> JournalError:
    return JournalError("the index of msg_id is not complete yet: try again in a minute")
