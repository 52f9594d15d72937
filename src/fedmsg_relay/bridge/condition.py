"""The condition of one part of the bridge: what it does or waits for, since when, and why. Changes are logged."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TypedDict

from fedmsg_relay.runtime.log import log


class State(StrEnum):
    """The work of a part of the bridge, or the event that it waits for."""

    CONNECTING = "connecting"
    WORKING = "working"
    BLOCKED = "blocked"
    REFUSED = "refused"
    WAITING = "waiting"
    STOPPED = "stopped"


class ConditionStatus(TypedDict):
    """The same in the status: since when in Unix time, and where connected."""

    state: str
    reason: str
    since: float
    node: str


class Condition:
    """What one part does, for the log and the status.

    Args:
        part: its name in the log.
    """

    def __init__(self, part: str) -> None:
        self.part = part
        self._state, self._reason, self._since = State.CONNECTING, "", time.time()
        self.node = ""

    @property
    def state(self) -> State:
        """What it does now."""
        return self._state

    def become(self, state: State, reason: str = "") -> None:
        """Note what it does now, and log a change.

        Args:
            state: what it does.
            reason: why it does not work.
        """
        if (state, reason) == (self._state, self._reason):
            return
        if state is not self._state:
            self._since = time.time()
        self._state, self._reason = state, reason
        if state is State.WORKING:
            log.info("%s: working with %s", self.part, self.node)
        elif reason:
            log.warning("%s: %s: %s", self.part, state, reason)

    def describe(self) -> ConditionStatus:
        """Describe it."""
        return {"state": str(self._state), "reason": self._reason, "since": self._since, "node": self.node}
