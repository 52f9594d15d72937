"""The relay of a host, as its program shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .command import CommandError, Run, answer_of, attempt

SERVICE = "fedmsg-relay.service"
TRIES = 2
PROBE_SECONDS = 5
EVERY_ADDRESS = re.compile(r"^tcp://(\*|0[.]0[.]0[.]0|\[::\]):")


class Relay:
    """The relay of a host."""

    def __init__(self, home: str, run: Run) -> None:
        """Find its program.

        Args:
            home: the directory of the program.
            run: runs a command.
        """
        self.program = f"{home}/current/bin/fedmsg-relay"
        self._run = run

    def status(self) -> dict[str, Any]:
        """Ask it how it is.

        Returns:
            Its answer; empty if it gives none.
        """
        told = answer_of(self._run, [self.program, "status", "--json"])
        return told if "relay" in told else {}

    def unsent(self, journal: str) -> int:
        """Count the messages that a stopped relay has not passed on.

        Args:
            journal: the path of its journal.

        Returns:
            The number; 0 if there is no journal.

        Raises:
            CommandError: the journal cannot be read.
        """
        if not Path(journal).exists():
            return 0
        code, answer, reason = attempt(self._run, [self.program, "journal", "waiting", "--journal", journal])
        if code != 0:
            lines = reason.strip().splitlines() or ["no reason given"]
            raise CommandError(f"{journal} cannot be read: {lines[-1]}")
        return int(answer)

    def probe(self, inbound: Iterable[str], outbound: Iterable[str]) -> str:
        """Send a message through a relay, and wait until it comes out. A second attempt counts.

        Args:
            inbound: where it goes in; by the global config if there is none.
            outbound: where it has to come out, likewise.

        Returns:
            Why it does not come through; empty if it does.
        """
        ways = [f"--inbound={one}" for one in inbound] + [f"--outbound={one}" for one in outbound]
        for attempts in range(TRIES):
            if attempts:
                time.sleep(1)
            code, said, reason = attempt(self._run, [self.program, "probe", f"--timeout={PROBE_SECONDS}", *ways])
            if code == 0:
                return ""
        return said.strip() or reason.strip() or f"exit code {code}"

    def probe_itself(self) -> str:
        """Send a message through it at its own addresses, whatever config and inventory name now.

        Returns:
            Why it does not come through; empty if it does.
        """
        bound = self.status().get("endpoints") or {}
        return self.probe(local(bound, "inbound"), local(bound, "outbound"))


def local(bound: Mapping[str, Sequence[str]], endpoint: str) -> list[str]:
    """Find where to connect to a relay from its own host.

    Args:
        bound: its addresses by endpoint.
        endpoint: one of these.

    Returns:
        The first address; none if the endpoint has none.
    """
    return [EVERY_ADDRESS.sub("tcp://127.0.0.1:", address) for address in list(bound.get(endpoint, ()))[:1]]
