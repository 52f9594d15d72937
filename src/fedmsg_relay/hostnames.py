"""Names of hosts, each looked up in a thread of its own.

libzmq looks names up in the one thread that does all its input and output: while a name server stays silent nothing is
sent, and nothing can be closed. So libzmq never gets a name: a thread looks the name up, the caller waits as long as
it wants, and nothing waits for that thread when the process ends.

This module is on the path of one-off scripts: it imports only what that needs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from fedmsg_relay.forks import setting_up

ADDRESSES_OF_A_NAME = 8
"""Maximum number of addresses of a name that are used."""

AGAIN_SECONDS = 1.0
"""Time after which a name that does not resolve is looked up again: a network may be coming up."""

_TCP = "tcp://"
_IN_HOSTS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*%:[]")
"""Characters that libzmq takes in a host; it refuses any other at once."""

_OCTETS = frozenset(map(str, range(256)))


class Search:
    """A search, in a thread of its own that ends when the name server has answered.

    Args:
        ask: asks the name server, and waits for it.
        name: what is looked up.

    Attributes:
        found: what was found, once the search has ended.
        started: when it began, by ``time.monotonic``.
    """

    def __init__(self, ask: Callable[[str], list[Any]], name: str) -> None:
        self.found: list[Any] = []
        self.started = time.monotonic()
        self._ask = ask
        self._why = ""
        self._name = name
        self._ended = threading.Event()
        try:
            threading.Thread(target=self._run, name=f"looks up {name}", daemon=True).start()
        except RuntimeError as error:  # no more threads for this user
            self._why = str(error)
            self._ended.set()

    def ended(self, timeout: float = 0.0) -> bool:
        """Whether it has ended, at once or within a time.

        Args:
            timeout: seconds to wait for it.
        """
        return self._ended.wait(min(max(0.0, timeout), threading.TIMEOUT_MAX))

    @property
    def fault(self) -> str:
        """Why nothing is found, at this moment; empty where something is."""
        if self.found:
            return ""
        if not self.ended():
            return f"the name {self._name} did not resolve in time"
        return f"the name {self._name} does not resolve: {self._why}"

    def _run(self) -> None:
        try:
            self.found = self._ask(self._name)
        except OSError as error:
            self._why = error.strerror or str(error)
        except UnicodeError:  # a label is empty or too long
            self._why = "no host can have this name"
        finally:
            self._ended.set()


_under_way: dict[tuple[Callable[[str], list[Any]], str], Search] = {}
"""Searches under way. The same search at the same time has one thread, so threads do not pile up when a name server is
silent."""

os.register_at_fork(after_in_child=_under_way.clear)  # a thread does not go along


def _search(ask: Callable[[str], list[Any]], name: str) -> Search:
    found = _under_way.get((ask, name))
    if found is None or found.ended():
        found = _under_way[ask, name] = Search(ask, name)
    return found


def search(name: str) -> Search:
    """Look up the addresses of a host; previous answers are not kept.

    Args:
        name: of the host.

    Returns:
        The search, which may be one under way already; it finds families and socket addresses.
    """
    return _search(_addresses, name)


def search_own() -> Search:
    """Look up the full name of this host.

    Returns:
        The search, as that of :func:`search`.
    """
    return _search(_full_name, "")


def _addresses(name: str) -> list[tuple[int, Any]]:
    with setting_up:
        import socket  # noqa: PLC0415 -- a script that names its relay by its IP shall not load it

    # Python need load no codec for bytes.
    found = socket.getaddrinfo(name.encode() if name.isascii() else name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _full_name(name: str) -> list[str]:
    with setting_up:
        import socket  # noqa: PLC0415 -- as above

    return [socket.getfqdn(name)]


class Lookup:
    """The numeric addresses of an address. Its name is looked up at once, and nothing here waits unless asked to.

    An address without a name (an IP, ``ipc://``, a malformed one) is its own result, without a thread.

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
        """Whether there is a result, which may be that the name does not resolve."""
        return self._search is None or self._search.ended()

    def result(self, timeout: float = 0.0) -> list[str]:
        """Get the addresses that libzmq may be given.

        Args:
            timeout: seconds to wait for them.

        Returns:
            The addresses, in order of preference; none if the name does not resolve, or has not yet: see :attr:`fault`.
        """
        if self._search is None:
            return [self.address]
        if not self._search.ended(timeout):
            return []
        found = self._search.found[:ADDRESSES_OF_A_NAME]
        return [f"{self._before}{_numeric(address)}:{self._port}" for _, address in found]

    @property
    def fault(self) -> str:
        """The reason why there are no addresses at this moment; empty if there are some."""
        return "" if self._search is None else self._search.fault


class Candidates:
    """The numeric addresses at which relays may be, in order of preference, as their names are resolved.

    Of each relay the first address comes first, then the further ones of names that have several.

    Args:
        addresses: of relays, in order of preference.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._lookups = [Lookup(address) for address in addresses]
        self._unresolved: dict[str, tuple[float, str]] = {}  # when it was found that they do not resolve, and why
        self._further: list[tuple[str, str]] = []

    @property
    def left(self) -> bool:
        """Whether there is something to take, now or later."""
        return bool(self._lookups or self._further)

    def wait_for_first(self, timeout: float) -> None:
        """Give the preferred address its time before others are taken.

        Args:
            timeout: seconds.
        """
        self._lookups[0].result(timeout)

    def take(self) -> tuple[str, str] | None:
        """Take the address to try next, if one is known yet; never waits.

        Returns:
            The relay's address, and a numeric one for it.
        """
        for place, lookup in enumerate(self._lookups):
            if lookup.done and (found := lookup.result()):
                del self._lookups[place]
                self._further += [(lookup.address, numeric) for numeric in found[1:]]
                self._unresolved.pop(lookup.address, None)
                return lookup.address, found[0]
            if lookup.done:
                self._look_again(place)
        return self._further.pop(0) if self._further else None

    def unresolved(self) -> str:
        """Say which names did not resolve, as the end of a sentence; empty if all did."""
        reasons = [self._unresolved.get(each.address, (0, each.fault))[1] for each in self._lookups]
        return "".join(f"; {reason}" for reason in dict.fromkeys(reasons) if reason)

    def _look_again(self, place: int) -> None:
        lookup = self._lookups[place]
        now = time.monotonic()
        since, _ = self._unresolved.setdefault(lookup.address, (now, lookup.fault))
        if now - since >= AGAIN_SECONDS:
            self._unresolved[lookup.address] = (now, lookup.fault)
            self._lookups[place] = Lookup(lookup.address)


def _split(address: str) -> tuple[str, str, str]:
    """Take an address apart at its host name, which is empty where it has none."""
    head, _, port = address.rpartition(":")
    start = max(len(_TCP), head.rfind(";") + 1)  # before it may stand the interface to connect from
    host = head[start:]
    if not head.startswith(_TCP) or not port[:1].isdigit() or not _IN_HOSTS.issuperset(host) or _is_numeric(host):
        return address, "", ""
    return head[:start], host, port


def _is_numeric(host: str) -> bool:
    """Whether it is an IP as everybody writes it; for every other way of writing one a search finds it at once."""
    host = host.strip("[]").partition("%")[0]
    parts = host.split(".")
    if len(parts) == 4 and all(part in _OCTETS for part in parts):
        return True
    if ":" not in host:
        return False
    with setting_up:
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
