"""The opener of the journal, at a start and after a fault.

A journal that cannot be read is set aside, and a new one takes over what is left of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from fedmsg_relay.errors import JournalCorruptError, JournalError
from fedmsg_relay.journal.cursor import Cursor
from fedmsg_relay.journal.retention import DEDUP_WINDOW
from fedmsg_relay.journal.salvage import set_aside
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.journal.window import Window
from fedmsg_relay.runtime.log import log

ASIDE_SECONDS = 60.0
"""Minimum time between two journals that are set aside. On a disk that returns other bytes than were written it does
not help to set aside one after the other."""


class Previous(NamedTuple):
    """The journal that was open before, as far as it is known.

    Attributes:
        cursor: what of it is sent.
        last: ``seq`` of its last message; 0 where no journal was open before.
        window: its dedup window.
    """

    cursor: Cursor
    last: int
    window: Window


class Opened(NamedTuple):
    """A journal that was opened.

    Attributes:
        journal: the journal.
        window: its dedup window.
        listeners: IP addresses of the listeners that were connected last, one for each connection.
        notice: for the operator, about a journal that was set aside; empty where none was.
    """

    journal: Journal
    window: Window
    listeners: list[str]
    notice: str


class Opener:
    """Opens the journal at a start, and again after a fault.

    Args:
        path: of ``journal.db``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside: Path | None = None
        self._next_aside = self._left_alone_until = 0.0

    def open(self, previous: Previous, corrupt: bool = False) -> Opened:
        """Open the journal.

        Args:
            previous: the journal that was open before.
            corrupt: whether the file is known to be unreadable: then it is set aside first.

        Raises:
            JournalError: it cannot be opened now. A file that is known to be unreadable and may not be set aside yet
                is not read again before it may.
        """
        if time.monotonic() < self._left_alone_until:
            raise self._refusal()
        if corrupt:
            self._set_aside()
        try:
            return self._load(Journal(self._path), previous)
        except JournalCorruptError as error:
            if corrupt:
                raise
            log.error("%s", error)
            return self.open(previous, corrupt=True)

    def _set_aside(self) -> None:
        if time.monotonic() < self._next_aside:
            self._left_alone_until = self._next_aside
            raise self._refusal()
        try:
            self._aside = set_aside(self._path)
            self._next_aside = time.monotonic() + ASIDE_SECONDS
        except OSError as error:
            raise JournalError(f"journal {self._path}: {error}") from error

    def _refusal(self) -> JournalError:
        why = f"cannot be read, and one was set aside less than {ASIDE_SECONDS:.0f} s ago"
        return JournalError(f"journal {self._path}: {why}")

    def _load(self, journal: Journal, previous: Previous) -> Opened:
        sent = previous.cursor.sent
        carried, notice = None, ""
        try:
            if self._aside:
                carried = journal.carry_over(self._aside, sent if previous.last else None, previous.last)
            window = Window(DEDUP_WINDOW, journal.recent(DEDUP_WINDOW))
            listeners = journal.listeners()
        except JournalError:
            journal.close()
            raise
        if self._aside:
            # A retry of a message that was published from the old one is still known. A lost message is taken again.
            window.keep_from(previous.window, sent)
            notice = f"a journal that could not be read was set aside as {self._aside}"
            log.error("%s; %s", notice, _describe(journal, carried))
            self._aside = None
        return Opened(journal, window, listeners, notice)


def _describe(journal: Journal, carried: int | None) -> str:
    waiting = journal.last - journal.published
    if carried is None:
        first = journal.published + 1
        return f"it is not known how many messages waited in it; {waiting} can be read, from seq {first} on"
    return f"of {waiting} messages that waited in it {carried} can be read"
