"""How the relay is: the answer of its status socket, asked seldom, for all clients."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from fedmsg_relay.commands import judgement
from fedmsg_relay.commands import status as status_command
from fedmsg_relay.commands.arguments import CRITICAL, UNKNOWN
from fedmsg_relay.daemon.status import Status
from fedmsg_relay.errors import NoRelayError
from fedmsg_relay.web import limits


@dataclass(frozen=True)
class Condition:
    """What was found out about the relay.

    Attributes:
        status: its answer; None where it does not answer.
        code: as of ``fedmsg-relay status``: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
        line: the line for a person, without performance data.
    """

    status: Status | None
    code: int
    line: str


_OTHER_VERSION = Condition(None, UNKNOWN, "UNKNOWN - the relay is of another version: its status has another form")


class Watch:
    """Asks the relay, at most once in ``STATUS_SECONDS``."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._latest: Condition | None = None
        self._asked = 0.0

    async def look(self) -> Condition:
        """Get the condition of the relay."""
        async with self._lock:
            if self._latest is None or time.monotonic() - self._asked > limits.STATUS_SECONDS:
                self._latest = await asyncio.to_thread(ask)
                self._asked = time.monotonic()
            return self._latest


def ask() -> Condition:
    """Ask the relay of this host."""
    try:
        status = status_command.ask()
        code, line = judgement.judge(status)
    except NoRelayError as error:
        return Condition(None, CRITICAL, f"CRITICAL - {error}")
    except (LookupError, TypeError, ValueError, AttributeError):
        return _OTHER_VERSION
    if not status.keys() >= Status.__required_keys__:
        return _OTHER_VERSION
    return Condition(status, code, line.partition(" | ")[0])
