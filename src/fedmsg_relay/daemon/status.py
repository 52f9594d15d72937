"""The status of a running relay: its form, which docs/commands.md explains. :mod:`.describe` makes it."""

from __future__ import annotations

from typing import Any, TypedDict

from fedmsg_relay.daemon.delays import DelaysStatus
from fedmsg_relay.daemon.sources import SourcesStatus
from fedmsg_relay.daemon.tally import DistrustStatus, SignerStatus
from fedmsg_relay.network.health import DoorStatus
from fedmsg_relay.runtime.log import LogStatus


class Status(TypedDict):
    """A running relay, as ``fedmsg-relay status --json`` prints it; docs/commands.md explains each part.

    Attributes:
        dead_threads: by the name of each thread that has died, what it died of.
        endpoints: addresses that are bound, by the endpoint.
        crowded: endpoints that turned somebody away a moment ago.
        received_by: messages received, by the way in: ``inbound``, ``submit``, or released from the ``quarantine``.
        delays: how long messages took.
        overloaded: submitted batches that were told to try again.
        reused_names: submitted messages that had the ``msg_id`` of another message.
        dropped: messages that were dropped, by the reason.
        unchained_from: submit of the upstream that turned out to be chained to this relay, which publishes since then.
    """

    relay: RelayStatus
    dead_threads: dict[str, str]
    log: LogStatus
    endpoints: dict[str, list[str]]
    crowded: list[str]
    addresses: list[AddressStatus]
    settings: dict[str, dict[str, Any]]
    health: list[DoorStatus]
    messages: MessagesStatus
    received_by: dict[str, int]
    delays: DelaysStatus
    overloaded: int
    reused_names: int
    dropped: dict[str, int]
    journal: JournalStatus
    upstream: UpstreamStatus | None
    unchained_from: list[str]
    trust: TrustStatus
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
    refused_upstream: int
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


class ConditionStatus(TypedDict):
    """The checks of signatures: whether they are made, against which files, and why they cannot be made."""

    signatures: str
    fault: str
    ca: TrustFileStatus | None
    crl: TrustFileStatus | None


class TrustStatus(ConditionStatus):
    """The same, and what was found.

    ``waiting`` counts messages in the quarantine that could not be checked, those of earlier runs among them.
    ``distrusted`` has the messages that were not trusted, by the reason: dropped, or let through with a warning.
    ``signers`` has the proven signers of the most messages.
    """

    waiting: int
    distrusted: dict[str, DistrustStatus]
    signers: list[SignerStatus]


class TrustFileStatus(TypedDict):
    """The CA's certificate or the CRL: when it ends, in Unix seconds, and whether that is soon."""

    file: str
    ends: float | None
    ends_soon: bool


class LaggardStatus(TypedDict):
    """A listener that does not keep up: see :class:`~fedmsg_relay.network.laggards.Laggard`."""

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
