"""A host whose global config names two relays."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass

from harness import Host, Ran
from relays import Relay


@dataclass(frozen=True)
class Pair:
    """A script's host, and the two relays that its config names."""

    host: Host
    first: Relay
    second: Relay

    @property
    def relays(self) -> tuple[Relay, Relay]:
        return self.first, self.second

    def configure(self, spool: bool = False) -> None:
        addresses = [relay.host.submit for relay in self.relays]
        self.host.configure_submit(addresses, None if spool else "")


def pair_of(host: Host, relays: list[Relay]) -> Pair:
    for relay in relays:
        relay.host.configure_submit()
        relay.start()
    return Pair(host, *relays)


def journaled(relay: Relay) -> list[dict[str, object]]:
    """The text of each message in a relay's journal, in order."""
    with contextlib.closing(sqlite3.connect(relay.host.journal_file)) as db:
        return [json.loads(body)["msg"] for (body,) in db.execute("SELECT body FROM message ORDER BY seq")]


def log(host: Host, text: str, *options: str) -> Ran:
    return host.run("fedmsg-logger", "--message", text, *options)
