"""Finds out what a host is called, and where something answers."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from typing import Any

NAME_SECONDS = 5.0
PEER_SECONDS = 2.0


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
