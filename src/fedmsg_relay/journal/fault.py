"""The fault of a journal that cannot be opened or written: why, and when it is tried again."""

from __future__ import annotations

import time

from fedmsg_relay.errors import JournalCorruptError, JournalError
from fedmsg_relay.runtime.log import log

RETRY_SECONDS = 1.0
"""Time between two tries with a journal that could not be opened or written."""


class Fault:
    """The fault that keeps the journal from work, if there is one.

    Attributes:
        text: why the journal cannot be opened or written; empty while it can.
        is_broken: whether the file itself is broken, so that it has to be set aside.
        next_try: when to try again, by ``time.monotonic``.
    """

    def __init__(self) -> None:
        self.text = ""
        self.is_broken = False
        self.next_try = 0.0

    def note(self, error: JournalError) -> None:
        """Note a fault, and log it if it is another one.

        Args:
            error: the fault.
        """
        self.is_broken = self.is_broken or isinstance(error, JournalCorruptError)
        self.put_off()
        if str(error) != self.text:
            log.error("journal cannot be written, inbound is forwarded unjournaled, submit is busy: %s", error)
            self.text = str(error)

    def put_off(self) -> None:
        """Wait :data:`RETRY_SECONDS` before the next try."""
        self.next_try = time.monotonic() + RETRY_SECONDS

    def is_due(self) -> bool:
        """Tell whether there is a fault, and it is time to try again."""
        return bool(self.text) and time.monotonic() >= self.next_try

    def note_written(self) -> None:
        """Note that the journal was written: the fault is over, unless the file is broken."""
        if self.text and not self.is_broken:
            log.warning("journal is written again, after: %s", self.text)
            self.text = ""

    def note_opened(self) -> None:
        """Note that the journal, or a new one, is open: the fault is over."""
        self.is_broken = False
        self.note_written()
