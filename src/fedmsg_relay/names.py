"""Names of hosts, looked up beside whoever waits for them.

libzmq looks names up in the one thread that does all its input and output: while a name server stays silent nothing is
sent, and nothing can be closed. So it never gets a name from us: a thread of our own looks up, whoever wants to know
waits as long as it likes, and nobody waits for that thread when the process ends.

This module is on the path of one-off scripts: it imports only what that needs.
"""

from __future__ import annotations

import os
import re
import threading
from typing import Any

ADDRESSES_OF_A_NAME = 8
"""How many of a name's addresses are used at most."""

# What libzmq takes in an address, which may begin with that of the interface to connect from.
_TCP = re.compile(r"(tcp://(?:[^;]*;)*)([\w.*%:\[\]-]+):(\d.*)", re.ASCII)
_QUAD = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)


class Search:
    """A search for the addresses of a host name, in a thread of its own that ends when the name server has answered.

    Args:
        name: of the host.

    Attributes:
        found: families and socket addresses, once it has ended.
        fault: why there are none, once it has ended.
    """

    def __init__(self, name: str) -> None:
        self.found: list[tuple[int, Any]] = []
        self.fault = ""
        self._name = name
        self._ended = threading.Event()
        try:
            threading.Thread(target=self._run, name=f"looks up {name}", daemon=True).start()
        except RuntimeError as error:  # no more threads for this user
            self.fault = str(error)
            self._ended.set()

    def ended(self, timeout: float = 0.0) -> bool:
        """Whether it has ended, at once or within a time.

        Args:
            timeout: seconds to wait for it.
        """
        return self._ended.wait(min(max(0.0, timeout), threading.TIMEOUT_MAX))

    def _run(self) -> None:
        import socket  # noqa: PLC0415 -- a script that names its relay by its IP shall not load it

        try:
            found = socket.getaddrinfo(self._name, None, type=socket.SOCK_STREAM)
            self.found = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        except OSError as error:
            self.fault = error.strerror or str(error)
        except UnicodeError:  # a label is empty or too long
            self.fault = "no host can have this name"
        finally:
            self._ended.set()


_under_way: dict[str, Search] = {}
"""Who wants to know the same at the same time shares one thread: however silent a name server, they do not pile up."""

os.register_at_fork(after_in_child=_under_way.clear)  # a thread does not go along


def search(name: str) -> Search:
    """Look a name up; an answer that came before is not kept.

    Args:
        name: of a host.

    Returns:
        The search, which may be one under way already.
    """
    found = _under_way.get(name)
    if found is None or found.ended():
        found = _under_way[name] = Search(name)
    return found


class Lookup:
    """The numeric addresses of an address; looking its name up begins at once, and nothing here waits unasked.

    What names no host (an IP, ``ipc://``, anything malformed) is its own result, without a thread.

    Args:
        address: such as ``tcp://busgateway01:9941``.

    Attributes:
        address: as it was given.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._before, self._name, self._port = _split(address)
        self._search = search(self._name) if self._name else None

    @property
    def done(self) -> bool:
        """Whether there is a result, be it that the name does not resolve."""
        return self._search is None or self._search.ended()

    def result(self, timeout: float = 0.0) -> list[str]:
        """Get the addresses that libzmq may be given.

        Args:
            timeout: seconds to wait for them.

        Returns:
            They, in order of preference; none where the name does not resolve, or has not yet: see :attr:`fault`.
        """
        if self._search is None:
            return [self.address]
        if not self._search.ended(timeout):
            return []
        found = self._search.found[:ADDRESSES_OF_A_NAME]
        return [f"{self._before}{_numeric(address)}:{self._port}" for _, address in found]

    @property
    def fault(self) -> str:
        """Why there are no addresses, at this moment; empty where there are."""
        if self._search is None or self._search.found:
            return ""
        if not self._search.ended():
            return f"the name {self._name} did not resolve in time"
        return f"the name {self._name} does not resolve: {self._search.fault}"


def _split(address: str) -> tuple[str, str, str]:
    """Take an address apart at its host name, which is empty where it has none."""
    match = _TCP.fullmatch(address)
    if not match or _is_numeric(match[2]):
        return address, "", ""
    return match[1], match[2], match[3]


def _is_numeric(host: str) -> bool:
    host = host.strip("[]").partition("%")[0]
    if _QUAD.fullmatch(host):
        return True
    if ":" not in host:
        return False
    import socket  # noqa: PLC0415 -- seldom needed

    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return False
    return True


def _numeric(address: Any) -> str:
    """A socket address as libzmq writes it: one of IPv6 with its scope, where it has one."""
    host = address[0].partition("%")[0]
    if len(address) < 4:
        return str(host)
    return f"[{host}%{address[3]}]" if address[3] else f"[{host}]"
