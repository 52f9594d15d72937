"""Describes a running relay, on the status socket where it is asked for.

A reader that connects to the unix socket gets one JSON object and the end of file. ``fedmsg-relay status`` is such a
reader (:mod:`fedmsg_relay.commands.status`), ``socat - UNIX-CONNECT:/run/fedmsg-relay/status.sock`` another. A thread
of its own answers, so a busy relay does too, and no reader can hold the relay up.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

from fedmsg_relay import submit
from fedmsg_relay.daemon import settings
from fedmsg_relay.daemon.screening import Condition, FileState
from fedmsg_relay.daemon.status import ConditionStatus, Status, TrustFileStatus, UpstreamStatus
from fedmsg_relay.daemon.unix_socket import UnixServer
from fedmsg_relay.message import Reason
from fedmsg_relay.runtime import log as logfile
from fedmsg_relay.runtime import paths, process, threads
from fedmsg_relay.trust import reasons as trust

if TYPE_CHECKING:
    from fedmsg_relay.chain.links import Links
    from fedmsg_relay.daemon.relay import Relay


def describe(relay: Relay) -> Status:
    """Describe a running relay.

    Args:
        relay: the relay of this process.

    Returns:
        What ``fedmsg-relay status --json`` prints.
    """
    pipeline, guard = relay.pipeline, relay.guard
    totals, dropped = pipeline.accounting.totals(), pipeline.accounting.dropped()
    ways = pipeline.accounting.ways()
    journal, forwarding = guard.journal, relay.forwarding  # once each: the loop may replace them meanwhile
    connected = {
        "inbound": relay.inbound.connected,
        "outbound": relay.outbound.listeners.connected,
        "submit": relay.submits.connected,
    }
    return {
        "relay": {
            "version": process.version(),
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
            "refused_upstream": totals.refused_upstream,
            "dropped": totals.quarantined + totals.refused,
            "balanced": totals.balanced,
        },
        "received_by": {way: ways[way] for way in ("inbound", "submit", "quarantine")},
        "delays": pipeline.delays.describe(),
        "overloaded": pipeline.turned_back,
        "reused_names": pipeline.reused_names,
        "dropped": {code: dropped[code] for code in (*Reason, *submit.Refusal, *trust.Reason)},
        "journal": {
            "fault": guard.fault,
            "notices": guard.notices,
            "bytes": guard.bytes,
            "last": journal.last if journal else None,
            "holding": relay.listener_wait.on,
        },
        "upstream": None if forwarding is None else describe_links(forwarding.links),
        "unchained_from": relay.chained.unchained_from if relay.chained else [],
        "trust": {
            **describe_condition(relay.screening.condition),
            "waiting": journal.quarantine.waiting if journal else 0,
            "distrusted": relay.screening.tally.distrusted(),
            "signers": relay.screening.tally.signers(),
        },
        "laggards": [
            {
                "address": laggard.address,
                "since": laggard.since,
                "published": laggard.published,
                "acked": laggard.acked,
                "lost": laggard.lost,
            }
            for laggard in relay.outbound.laggards.all()
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


def describe_links(links: Links) -> UpstreamStatus:
    """Describe the links of a chained relay.

    Args:
        links: to all relays upstream; their states may change meanwhile.
    """
    using = links.using
    return {
        "state": links.state,
        "using": None if using is None else using.submit_address,
        "submit": [link.submit_address for link in links],
        "outbound": [link.outbound_address for link in links],
        "states": [link.state for link in links],
        "reasons": [link.why for link in links],
    }


def describe_condition(condition: Condition) -> ConditionStatus:
    """Describe how the checks of signatures stand.

    Args:
        condition: of this process, or of a relay that would start.
    """
    return {
        "signatures": str(condition.signatures),
        "fault": condition.fault,
        "ca": _trust_file(condition.ca),
        "crl": _trust_file(condition.crl),
    }


def _trust_file(state: FileState | None) -> TrustFileStatus | None:
    return state and {"file": state.path, "ends": state.end, "ends_soon": state.ends_soon}


def serve(relay: Relay) -> UnixServer:
    """Answer on the status socket until closed.

    Args:
        relay: the relay to describe.

    Raises:
        ConfigError: the socket cannot be made.
    """

    def answer(reader: socket.socket) -> None:
        reader.sendall(json.dumps(describe(relay)).encode() + b"\n")

    # Any monitoring user may look: it is only read.
    return UnixServer("status", paths.status_socket(), 0o666, answer)
