"""The health check: the relay connects to its own addresses, as a peer would, and waits for the first bytes.

A loop that turns does not prove that: other threads and the kernel accept connections. So the watchdog is fed only
while both are well. A look sends nothing and does not count as a peer: the code that accepts connections asks
:func:`is_own`.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from fedmsg_relay import tcp
from fedmsg_relay.network.address import split
from fedmsg_relay.runtime import threads
from fedmsg_relay.runtime.log import log

INTERVAL_SECONDS = 4.0
"""Pause between two rounds of looks."""

ANSWER_SECONDS = 2.0
"""Maximum time that a look waits to be let in, and again to be greeted: a busy machine takes its time."""

FAULT_SECONDS, FAULT_LOOKS = 10.0, 2
"""Time, and number of looks, without a greeting after which ``status`` reports an address. One look proves nothing."""

FATAL_SECONDS, FATAL_LOOKS = 20.0, 4
"""The same after which the watchdog is no longer fed. Time alone does not count: the machine may have slept."""

REMEMBERED = 64
"""Number of unnoticed looks that are remembered as ours: they may still be noticed."""

_SIGNATURE = b"\xff"
"""How every ZMTP greeting begins."""

_own: dict[str, threading.Event] = {}
"""Looks by the address that they come from, and whether the code that accepts connections has noticed them."""


def is_own(address: str) -> bool:
    """Tell whether a connection is a look of ours; to be asked once it is accepted.

    Args:
        address: of its peer, as :func:`~fedmsg_relay.tcp.format_address` writes it.

    Returns:
        True if it is a look, and not a peer.
    """
    noticed = _own.get(address)
    if noticed is None:
        return False
    noticed.set()
    return True


class _NoLookError(Exception):
    """The look could not be made, which proves nothing about the relay; the text says why."""


@dataclass
class _Door:
    """An address that the relay has bound, and what came of the looks at it.

    Attributes:
        endpoint: ``inbound``, ``outbound`` or ``submit``.
        address: as it is bound.
        since: monotonic seconds when the last look was greeted, or looking began.
        proven: whether a look was ever greeted; if not, a firewall of this host may be the reason.
        missed: how many looks since were not greeted.
        reason: why the last one was not.
        hindered: whether the look could not be made, which is not the relay's fault.
        shut_out: how many looks in a row, up to the last one, were not greeted without being hindered.
        said: whether the log has it.
    """

    endpoint: str
    address: str
    since: float
    proven: bool = False
    missed: int = 0
    reason: str = ""
    hindered: bool = False
    shut_out: int = 0
    said: bool = False

    @property
    def fault(self) -> str:
        """The fault, for a person."""
        seconds = time.monotonic() - self.since
        if self.missed < FAULT_LOOKS or seconds < FAULT_SECONDS:
            return ""
        what = "cannot look at" if self.hindered else "answers no new connection at"
        return f"{what} {self.endpoint} {self.address} for {seconds:.0f} s ({self.reason})"

    @property
    def fatal(self) -> bool:
        """Whether only a restart can help."""
        return self.proven and self.shut_out >= FATAL_LOOKS and time.monotonic() - self.since >= FATAL_SECONDS

    def note_greeted(self) -> None:
        if self.said:
            log.warning("answers new connections again at %s %s", self.endpoint, self.address)
        self.since, self.proven = time.monotonic(), True
        self.missed = self.shut_out = 0
        self.said = False

    def note_missed(self, reason: str, hindered: bool) -> None:
        self.missed += 1
        self.shut_out = 0 if hindered else self.shut_out + 1
        self.reason, self.hindered = reason, hindered
        if self.fault and not self.said:
            self.said = True
            log.error("%s", self.fault)


class DoorStatus(TypedDict):
    """An address that is bound: seconds since a look was last greeted there, None if none was, and what is wrong."""

    endpoint: str
    address: str
    since_greeted: float | None
    fault: str


class Health:
    """Looks at each bound address again and again, in a thread of its own, until closed.

    Args:
        addresses: what is bound, by the endpoint.
    """

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        now = time.monotonic()
        self._doors = [_Door(endpoint, address, now) for endpoint, found in addresses.items() for address in found]
        self._closed = threading.Event()
        threads.start("health", self._watch)

    @property
    def well(self) -> bool:
        """Whether nothing is wrong that only a restart would mend."""
        return not any(door.fatal for door in self._doors)

    def faults(self) -> list[str]:
        """Get what is wrong, a sentence for each address of which something is."""
        return [fault for door in self._doors if (fault := door.fault)]

    def describe(self) -> list[DoorStatus]:
        """Describe each address."""
        now = time.monotonic()
        return [
            {
                "endpoint": door.endpoint,
                "address": door.address,
                "since_greeted": round(now - door.since, 3) if door.proven else None,
                "fault": door.fault,
            }
            for door in self._doors
        ]

    def close(self) -> None:
        """Look no more; a look that is under way counts for nothing. To be called before the addresses are closed."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            for door in self._doors:
                self._look_at(door)
            self._closed.wait(INTERVAL_SECONDS)

    def _look_at(self, door: _Door) -> None:
        reason, hindered = "", False
        try:
            _look(door.address)
        except _NoLookError as error:
            reason, hindered = str(error), True
        except OSError as error:
            reason = error.strerror or str(error)
        if self._closed.is_set():
            return
        if reason:
            door.note_missed(reason, hindered)
        else:
            door.note_greeted()


def _look(address: str) -> None:
    """Connect, be greeted and leave; raises OSError when it is not greeted, and _NoLookError."""
    with _from_here(address) as looking:
        name = tcp.format_address(looking.getsockname())
        noticed = _own[name] = threading.Event()
        try:
            looking.connect(_target(address)[1])
            if looking.recv(len(_SIGNATURE)) != _SIGNATURE:
                raise ConnectionAbortedError(errno.ECONNABORTED, "no greeting")
            # The kernel tells whose a connection is only while it is there.
            noticed.wait(ANSWER_SECONDS)
        except OSError:
            _refuse_without_file_descriptor(looking)
            raise
        finally:
            if noticed.is_set():
                del _own[name]
            while len(_own) > REMEMBERED:
                del _own[next(iter(_own))]


def _from_here(address: str) -> socket.socket:
    """Make the socket that connects to an address, with one of its own already, by which it will be known."""
    family, target = _target(address)
    try:
        looking = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoLookError(_explain(error)) from error
    looking.settimeout(ANSWER_SECONDS)
    try:
        # From the same address, which is thus this host's: an address that has moved is not looked at on another host.
        looking.bind("" if isinstance(target, str) else (target[0], 0, *target[2:]))
    except OSError as error:
        looking.close()
        raise _NoLookError(_explain(error)) from error
    return looking


def _target(address: str) -> tuple[int, Any]:
    """Get the address family, and where to connect to for what is bound; for a wildcard the host itself."""
    if address.startswith("ipc://"):
        return socket.AF_UNIX, tcp.unix_name(address)
    host, port = split(address, "bound")
    host = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not bound here
    flags = socket.AI_NUMERICHOST
    ((family, _, _, _, target), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return family, target


def _refuse_without_file_descriptor(spare: socket.socket) -> None:
    """Raise _NoLookError when ours was the last one: the relay could not let us in."""
    try:
        os.close(os.dup(spare.fileno()))
    except OSError as error:
        raise _NoLookError(_explain(error)) from error


def _explain(error: OSError) -> str:
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "no file descriptor is left for new connections: see LimitNOFILE of the unit"
    return error.strerror or str(error)
