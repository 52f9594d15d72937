"""The state of a link to an upstream, and its line in the log."""

from __future__ import annotations

import time
from enum import StrEnum

from fedmsg_relay.runtime.drops import Allowance
from fedmsg_relay.runtime.log import log


class State(StrEnum):
    """State of a link."""

    JOINED = "joined"
    AWAY = "away"
    LOOP = "loop"


class LinkState:
    """The state that a link is in; a change is logged.

    Args:
        address: of the upstream's submit, for the log.

    Attributes:
        name: the state.
        why: the reason for it, for a person.
        since: since when the link has this state, by ``time.monotonic``.
    """

    def __init__(self, address: str) -> None:
        self.name = State.AWAY
        self.why = ""
        self.since = time.monotonic()
        self._address = address
        self._told: tuple[State, str] | None = None
        self._allowance = Allowance()

    def become(self, name: State, why: str) -> None:
        """Take another state, or another reason for the same one.

        Args:
            name: the state.
            why: the reason for it, for a person.
        """
        if name != self.name:
            self.since = time.monotonic()
        self.name, self.why = name, why
        self.tell()

    def tell(self) -> None:
        """Log the state if it has changed; a state that changes too often is logged later."""
        if not self.why or self._told == (self.name, self.why) or not self._allowance.take():
            return
        self._told = self.name, self.why
        level = {State.JOINED: log.info, State.AWAY: log.warning, State.LOOP: log.error}[self.name]
        level("upstream %s %s: %s", self._address, self.name, self.why)
