"""The status of a running relay, and the socket where it is asked for.

A reader that connects to the unix socket gets one JSON object and the end of file. ``fedmsg-relay status`` is such a
reader (:mod:`fedmsg_relay.commands.status`), ``socat - UNIX-CONNECT:/run/fedmsg-relay/status.sock`` another. A thread
of its own answers, so a busy relay does too, and no reader can hold the relay up.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from fedmsg_relay import __version__, submit
from fedmsg_relay.daemon import settings
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.message import Reason
from fedmsg_relay.runtime import log as logfile
from fedmsg_relay.runtime import paths, threads
from fedmsg_relay.runtime.log import log
from fedmsg_relay.trust.reasons import Reason as Distrust

if TYPE_CHECKING:
    from fedmsg_relay.daemon.forwarding import ForwardingStage
    from fedmsg_relay.daemon.relay import Relay
    from fedmsg_relay.daemon.sources import SourcesStatus
    from fedmsg_relay.network.health import DoorStatus

RETRY_SECONDS = 1.0
"""Time after which the relay tries again to let a reader in, when no file descriptor was left for it."""


class Status(TypedDict):
    """A running relay, as ``fedmsg-relay status --json`` prints it; docs/commands.md explains each part.

    Attributes:
        dead_threads: by the name of each thread that has died, what it died of.
        endpoints: addresses that are bound, by the endpoint.
        crowded: endpoints that turned somebody away a moment ago.
        overloaded: submitted batches that were told to try again.
        reused_names: submitted messages that had the ``msg_id`` of another message.
        dropped: messages that were dropped, by the reason.
    """

    relay: RelayStatus
    dead_threads: dict[str, str]
    log: logfile.LogStatus
    endpoints: dict[str, list[str]]
    crowded: list[str]
    addresses: list[AddressStatus]
    settings: dict[str, dict[str, Any]]
    health: list[DoorStatus]
    messages: MessagesStatus
    overloaded: int
    reused_names: int
    dropped: dict[str, int]
    journal: JournalStatus
    upstream: UpstreamStatus | None
    laggards: list[LaggardStatus]
    peers: PeersStatus
    connections: ConnectionsStatus
    sources: SourcesStatus


class RelayStatus(TypedDict):
    """The process. ``started`` is in Unix seconds; ``uptime`` and ``since_last_turn`` are in seconds."""

    version: str
    pid: int
    started: float
    uptime: float
    since_last_turn: float


class AddressStatus(TypedDict):
    """An address: the peers that are connected to it, and seconds since the last of them left."""

    endpoint: str
    address: str
    peers: list[str]
    idle_seconds: float


class MessagesStatus(TypedDict):
    """The counters of :class:`~fedmsg_relay.daemon.accounting.Counts`, and what follows from them."""

    received: int
    journaled: int
    quarantined: int
    refused: int
    duplicates: int
    unjournaled: int
    carried: int
    published: int
    waiting: int
    damaged: int
    dropped: int
    balanced: bool


class JournalStatus(TypedDict):
    """The journal: why it cannot be written, what an operator should know, and the ``seq`` of its last message."""

    fault: str
    notices: list[str]
    bytes: int
    last: int | None
    holding: bool


class UpstreamStatus(TypedDict):
    """The relays upstream, in the order of the settings; ``using`` is the submit of the one that gets messages."""

    state: str
    using: str | None
    submit: list[str]
    outbound: list[str]
    states: list[str]
    reasons: list[str]


class LaggardStatus(TypedDict):
    """A listener that does not keep up: see :class:`~fedmsg_relay.network.outbound.Laggard`."""

    address: str
    since: float
    published: int
    acked: int
    lost: int


class PeersStatus(TypedDict):
    """Addresses of the peers that are connected, and seconds since the last one left."""

    publishers: list[str]
    submitters: list[str]
    listeners: list[str]
    idle_seconds: float


class ConnectionsStatus(TypedDict):
    """Connections of all endpoints since the start."""

    accepted: int
    closed: int
    handshake_failed: int
    turned_away: int
    cut: int


def describe(relay: Relay) -> Status:
    """Describe a running relay.

    Args:
        relay: the relay of this process.

    Returns:
        What ``fedmsg-relay status --json`` prints.
    """
    pipeline, guard = relay.pipeline, relay.guard
    totals, dropped = pipeline.accounting.totals(), pipeline.accounting.dropped()
    journal = guard.journal
    connected = {
        "inbound": relay.inbound.connected,
        "outbound": relay.outbound.listeners.connected,
        "submit": relay.submits.connected,
    }
    return {
        "relay": {
            "version": __version__,
            "pid": os.getpid(),
            "started": round(relay.started, 3),
            "uptime": round(time.monotonic() - relay.born, 3),
            "since_last_turn": round(time.monotonic() - relay.turned, 3),
        },
        "dead_threads": threads.dead(),
        "log": logfile.describe(),
        "endpoints": relay.addresses,
        "crowded": [name for name, found in connected.items() if found.crowded],
        "addresses": [
            {
                "endpoint": endpoint,
                "address": used.address,
                "peers": used.peers,
                "idle_seconds": used.idle_seconds,
            }
            for endpoint, addresses in relay.named.items()
            for used in connected[endpoint].use.of(addresses)
        ],
        "settings": settings.reloaded(relay.pipeline.settings),
        "health": relay.health.describe() if relay.health else [],
        "messages": {
            "received": totals.received,
            "journaled": totals.journaled,
            "quarantined": totals.quarantined,
            "refused": totals.refused,
            "duplicates": totals.duplicates,
            "unjournaled": totals.unjournaled,
            "carried": totals.carried,
            "published": totals.published,
            "waiting": totals.waiting,
            "damaged": totals.damaged,
            "dropped": totals.quarantined + totals.refused,
            "balanced": totals.balanced,
        },
        "overloaded": pipeline.overloaded,
        "reused_names": pipeline.reused_names,
        "dropped": {code: dropped[code] for code in (*Reason, *Distrust, *submit.Refusal)},
        "journal": {
            "fault": guard.fault,
            "notices": guard.notices,
            "bytes": guard.bytes,
            "last": journal.last if journal else None,
            "holding": relay.hold.on,
        },
        "upstream": _upstream(relay.forwarding),
        "laggards": [
            {
                "address": laggard.address,
                "since": laggard.since,
                "published": laggard.published,
                "acked": laggard.acked,
                "lost": laggard.lost,
            }
            for laggard in list(relay.outbound.laggards.values())
        ],
        "peers": {
            "publishers": connected["inbound"].addresses,
            "submitters": connected["submit"].addresses,
            "listeners": connected["outbound"].addresses,
            "idle_seconds": round(min(group.idle_seconds for group in connected.values()), 3),
        },
        "connections": {
            "accepted": sum(group.accepted for group in connected.values()),
            "closed": sum(group.closed for group in connected.values()),
            "handshake_failed": sum(group.handshake_failed for group in connected.values()),
            "turned_away": sum(group.turned_away for group in connected.values()),
            "cut": sum(group.cut for group in connected.values()),
        },
        "sources": relay.sources.describe(),
    }


def _upstream(stage: ForwardingStage | None) -> UpstreamStatus | None:
    if stage is None:
        return None
    return {
        "state": stage.state,
        "using": stage.using.submit_address if stage.using else None,
        "submit": [link.submit_address for link in stage.links],
        "outbound": [link.outbound_address for link in stage.links],
        "states": [link.state for link in stage.links],
        "reasons": [link.why for link in stage.links],
    }


class StatusServer:
    """Answers on the status socket until closed.

    Args:
        relay: the relay to describe.

    Raises:
        ConfigError: the socket cannot be made.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._path = paths.status_socket()
        if _answers(self._path):
            raise ConfigError(f"status socket {self._path}: another relay answers there")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)  # left by a relay that was killed
            self._socket.bind(str(self._path))
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"status socket {self._path}: {error.strerror or error}") from error
        self._closed = threading.Event()
        self._path.chmod(0o666)  # read-only, and any monitoring user may look
        self._socket.listen(16)
        threads.start("status", self._serve)

    def _serve(self) -> None:
        fault = ""
        while not self._closed.is_set():
            try:
                reader, _ = self._socket.accept()
            except OSError as error:
                if not self._closed.wait(RETRY_SECONDS) and str(error) != fault:
                    fault = str(error)
                    log.error("status cannot be answered, trying again: %s", error.strerror)
                continue
            fault = ""
            with reader:
                reader.settimeout(2)
                try:
                    reader.sendall(json.dumps(describe(self._relay)).encode() + b"\n")
                except OSError as error:
                    log.info("status reader left: %s", error)

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._closed.set()
        self._path.unlink(missing_ok=True)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(str(path))
        except OSError:  # also a path that is too long, which bind reports
            return False
        return True
