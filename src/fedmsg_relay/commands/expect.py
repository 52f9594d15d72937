"""``fedmsg-relay expect``: notes the listeners that the next start of the relay waits for."""

from __future__ import annotations

import argparse
import ipaddress
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from fedmsg_relay.commands.arguments import OK, accepts
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.runtime import paths


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    text = "note in the journal of a stopped relay which listeners its next start waits for"
    expect = commands.add_parser("expect", help=text, description=text)
    expect.set_defaults(command=_expect)
    expect.add_argument("--journal", type=Path, metavar="FILE", help="this journal.db instead of that of this host")
    expect.add_argument(
        "listeners", nargs="*", type=_address, metavar="IP[:PORT]", help="where a listener is connected from"
    )


def _expect(options: argparse.Namespace) -> int:
    path = options.journal or paths.state() / "journal.db"
    with paths.lock(path.parent), closing(Journal(path)) as journal:
        journal.remember_listeners(options.listeners)
    return OK


@accepts("an IP address, with or without a port")
def _address(text: str) -> str:
    """Take the IP address of a listener; the port, which ``ss`` prints as well, does not matter."""
    for host in (text, text.rpartition(":")[0]):
        with suppress(ValueError):
            found = ipaddress.ip_address(host.strip("[]"))
            return str(getattr(found, "ipv4_mapped", None) or found)
    raise ValueError
