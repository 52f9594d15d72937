"""TCP ports for tests: free ones that stay free until they are needed, and one that another program holds."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


class HeldPort:
    """A free TCP port that stays ours until released.

    The bound socket does not listen: a daemon (which sets SO_REUSEADDR) can take the port, a
    search for a free port elsewhere can not.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()


def has_ipv6() -> bool:
    """Whether this machine has IPv6 at all; where it has none, what the relay does then is tested."""
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
