#!/usr/bin/python
"""Answers the questions of the role's plan: what only this host can find out, and only some runs need."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: fedmsg_relay_ask
short_description: Answer what a plan of the role fedmsg_relay asks of a host
description:
  - Finds out what only some runs need to know. Changes nothing, so it also runs in check mode.
  - Uses the program in use.
options:
  home: {description: The directory of the program., type: path, required: true}
  journal: {description: The path of the relay's journal., type: path, required: true}
  names: {description: Host names that may be this host's., type: list, elements: str, default: []}
  peers: {description: Addresses where a relay may answer., type: list, elements: str, default: []}
  port: {description: The port to connect to at O(peers)., type: int, required: true}
  waiting:
    description: Whether to count the messages that a stopped relay has not passed on.
    type: bool
    default: false
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Count the messages of a stopped relay
  fedmsg_relay_ask:
    home: /opt/fedmsg-relay
    journal: /var/lib/fedmsg-relay/journal.db
    port: 9941
    waiting: true
"""

RETURN = """
names: {description: Those of the names that are this host's., type: list, returned: always}
peers: {description: Those of the addresses where something accepts a connection., type: list, returned: always}
waiting:
  description: The number of messages that a stopped relay has taken and not passed on. It is 0 if nobody asked.
  type: int
  returned: always
"""

Ran = tuple[int, str, str]
Run = Callable[[list[str]], Ran]

NAME_SECONDS = 5.0
PEER_SECONDS = 2.0


class AskError(Exception):
    """A question that cannot be answered."""


def own_names(names: list[str]) -> list[str]:
    """Find the names that are this host's: its own name, or one that resolves to an address that it holds.

    Args:
        names: host names or addresses.

    Returns:
        Those that are; without those that the name server does not resolve in time.
    """
    own: set[str] = set()
    searches = [threading.Thread(target=_search, args=(name, own), daemon=True) for name in names]
    deadline = time.monotonic() + NAME_SECONDS
    for search in searches:
        search.start()
    for search in searches:
        search.join(max(0.0, deadline - time.monotonic()))
    found = own.copy()
    return [name for name in names if name in found]


def answering(peers: list[str], port: int) -> list[str]:
    """Find addresses where something accepts connections.

    Args:
        peers: the addresses.
        port: the port of each.

    Returns:
        Those that do.
    """
    return [peer for peer in peers if _accepts(peer, port)]


def count(program: str, journal: str, run: Run) -> int:
    """Count the messages that a stopped relay has not passed on.

    Args:
        program: the command ``fedmsg-relay``.
        journal: the path of the journal.
        run: runs a command.

    Returns:
        The number; 0 if there is no journal.

    Raises:
        AskError: the journal cannot be read.
    """
    if not Path(journal).exists():
        return 0
    code, answer, reason = run([program, "journal", "waiting", "--journal", journal])
    if code != 0:
        raise AskError(f"{journal} cannot be read: {(reason.strip().splitlines() or ['no reason given'])[-1]}")
    return int(answer)


def _search(name: str, own: set[str]) -> None:
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    own_name = name.lower() in {socket.gethostname().lower(), socket.getfqdn().lower()}
    if own_name or any(_holds(family, address) for family, _, _, _, address in found):
        own.add(name)


def _holds(family: int, address: Any) -> bool:
    """Only a host that has the address can bind it."""
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as trial:
            trial.bind(address)
    except OSError:
        return False
    return True


def _accepts(peer: str, port: int) -> bool:
    try:
        with closing(socket.create_connection((peer, port), timeout=PEER_SECONDS)):
            return True
    except OSError:
        return False


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    names: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        {
            "home": path,
            "journal": path,
            "names": names,
            "peers": names,
            "port": {"type": "int", "required": True},
            "waiting": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> Ran:
        ran: Ran = module.run_command(command, cwd="/", expand_user_and_vars=False)
        return ran

    asked = module.params
    program = f"{asked['home']}/current/bin/fedmsg-relay"
    try:
        waiting = count(program, asked["journal"], run) if asked["waiting"] else 0
    except AskError as error:
        module.fail_json(msg=str(error))
    found = {"names": own_names(asked["names"]), "peers": answering(asked["peers"], asked["port"])}
    module.exit_json(changed=False, waiting=waiting, **found)


if __name__ == "__main__":
    main()
