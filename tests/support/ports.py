"""TCP ports for tests: free ones that stay free until they are needed, and one that another program holds."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path


class HeldPort:
    """A free TCP port that stays ours until released.

    The bound socket does not listen: a daemon (which sets SO_REUSEADDR) can take the port, a
    search for a free port elsewhere cannot.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()


def has_ipv6() -> bool:
    """Whether this machine has IPv6 at all; where it has none, the relay's way without it is tested."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def occupied(port: int) -> Iterator[None]:
    """Another program listens on the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def connections(address: str) -> list[list[str]]:
    """What the kernel knows of connections to or from the port: state and queues."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    ended = {"06", "07", "0A"}  # TIME_WAIT, CLOSE, LISTEN
    return [row for row in rows if (row[1].endswith(port) or row[2].endswith(port)) and row[3] not in ended]


def unread(address: str) -> bool:
    """Whether a connection to the port has received what its program has not taken."""
    return any(int(row[4].partition(":")[2], 16) for row in connections(address))
