"""Notices for the operator about lost messages and lost notes of the journal."""

from __future__ import annotations

from fedmsg_relay.runtime.drops import Allowance
from fedmsg_relay.runtime.log import log

REMOVED = " messages that waited for CA or CRL were removed from the quarantine, which is full"

DAMAGED = " messages of the journal are damaged, they are not published"


class Notices:
    """Notices, each about something else.

    Attributes:
        texts: the notices.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._damaged = self._removed = 0
        self._lines = Allowance()

    def add(self, about: str, notice: str) -> None:
        """Let an operator know; a later notice about the same replaces the previous one.

        Args:
            about: what the notice ends with.
            notice: the text.
        """
        self.texts = [*(other for other in self.texts if not other.endswith(about)), notice]

    def note_damaged(self, messages: int) -> None:
        """Note messages that are damaged or missing.

        Args:
            messages: number of them.
        """
        if messages:
            self._damaged += messages
            self.add(DAMAGED, f"{self._damaged}{DAMAGED}")

    def note_removed(self, removed: int) -> None:
        """Note messages that waited in the quarantine and had to make room.

        Args:
            removed: number of them since the journal was opened.
        """
        if removed > self._removed:
            self._removed = removed
            self.add(REMOVED, f"{removed}{REMOVED}")
            if self._lines.take():
                log.error("%d%s", removed, REMOVED)
