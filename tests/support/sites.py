"""Hosts with relays that are chained to each other."""

from __future__ import annotations

import contextlib
import sqlite3

from harness import Host, wait_until
from messages import Message
from relays import Relay


class Site:
    """A host with a relay that others can be chained to."""

    def __init__(self) -> None:
        self.host = Host()
        self.host.configure_submit()
        self.relay = Relay(self.host)

    def stand_alone(self) -> Site:
        """It publishes what it takes by itself."""
        self.host.settings_file.unlink(missing_ok=True)
        return self

    def chain_to(self, *others: Site) -> Site:
        """It hands everything to another one, from its next start on."""
        self.host.write(
            "relay.toml",
            f"[upstream]\nsubmit = {[other.host.submit for other in others]}\n"
            f"outbound = {[other.host.outbound for other in others]}\n",
        )
        return self

    def upstream(self) -> str:
        return str(self.relay.status()["upstream"]["state"])

    def wait_for_upstream(self, state: str) -> None:
        wait_until(lambda: self.upstream() == state, f"upstream is {state}")

    def join(self) -> None:
        self.relay.start()
        self.wait_for_upstream("joined")

    def journaled(self) -> list[Message]:
        with contextlib.closing(sqlite3.connect(self.host.journal_file)) as db:
            return list(db.execute("SELECT topic, body FROM message ORDER BY seq"))

    def restart(self) -> None:
        assert self.relay.stop() == 0
        self.relay.start()

    def close(self) -> None:
        self.relay.close()
        self.host.close()


def chained(old: Site, new: Site) -> None:
    new.relay.start()
    old.chain_to(new).join()
