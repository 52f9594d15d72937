"""How a relay is: its status socket, and the command that reads it.

Whoever connects to the unix socket gets one JSON object and the end of file; ``fedmsg-relay status`` is one reader,
``socat - UNIX-CONNECT:/run/fedmsg-relay/status.sock`` another. A thread of its own answers, so a busy relay does too,
and nothing that a reader does can hold the relay up.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmsg_relay import __version__, submit
from fedmsg_relay.daemon import settings
from fedmsg_relay.errors import ConfigError, NoRelayError
from fedmsg_relay.message import Reason
from fedmsg_relay.runtime import log as logfile
from fedmsg_relay.runtime import paths, threads
from fedmsg_relay.runtime.log import log

if TYPE_CHECKING:
    from fedmsg_relay.daemon.forwarding import ForwardingStage
    from fedmsg_relay.daemon.relay import Relay
    from fedmsg_relay.network.peers import Peers
    from fedmsg_relay.network.receiver import Receiver

STUCK_SECONDS = 15.0
"""A loop that has not come round for so long is reported; it turns every second even without messages."""

RETRY_SECONDS = 1.0
"""After which it is tried again to let a reader in, when there was no file descriptor left for it."""

Status = dict[str, Any]

_ROLES = ("publishers", "submitters", "listeners")


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
    endpoints: dict[str, Receiver | Peers] = {
        "inbound": relay.inbound,
        "outbound": relay.outbound.listeners,
        "submit": relay.submits,
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
        "crowded": [name for name, peers in endpoints.items() if peers.crowded],
        "addresses": [
            {"endpoint": endpoint, **used._asdict()}
            for endpoint, addresses in relay.named.items()
            for used in endpoints[endpoint].use.of(addresses)
        ],
        "settings": settings.reloaded(relay.pipeline.settings),
        "health": relay.health.describe() if relay.health else [],
        "messages": {
            **asdict(totals),
            "dropped": totals.quarantined + totals.refused,
            "balanced": totals.balanced,
        },
        "overloaded": pipeline.overloaded,
        "reused_names": pipeline.reused_names,
        "dropped": {code: dropped[code] for code in (*Reason, *submit.Refusal)},
        "journal": {
            "fault": guard.fault,
            "notices": guard.notices,
            "bytes": guard.bytes,
            "last": journal.last if journal else None,
            "holding": relay.hold.on,
        },
        "upstream": _upstream(relay.forwarding),
        "laggards": [asdict(laggard) for laggard in list(relay.outbound.laggards.values())],
        "peers": {
            **{f"{group.role}s": group.addresses for group in relay.peers},
            "idle_seconds": round(min(group.idle_seconds for group in relay.peers), 3),
        },
        "connections": {
            name: sum(getattr(group, name) for group in relay.peers)
            for name in ("accepted", "closed", "handshake_failed", "turned_away", "cut")
        },
    }


def _upstream(stage: ForwardingStage | None) -> dict[str, Any] | None:
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
        ConfigError: the socket can not be made.
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
                    log.error("status can not be answered, trying again: %s", error.strerror)
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


def ask(path: Path | None = None) -> Status:
    """Ask the relay of this host.

    Args:
        path: its status socket; without one the usual place.

    Returns:
        Its description.

    Raises:
        NoRelayError: nothing answers there.
    """
    path = path or paths.status_socket()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as reader:
        reader.settimeout(5)
        try:
            reader.connect(str(path))
            answer = b"".join(iter(lambda: reader.recv(65536), b""))
            status: Status = json.loads(answer)
        except OSError as error:
            raise NoRelayError(
                f"the relay of this host does not answer at {path}: {error.strerror or error}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise NoRelayError(f"the relay of this host does not answer at {path}: what came is no status") from error
    return status


def judge(status: Status) -> tuple[int, str]:
    """Judge a status as a Nagios plugin does.

    Args:
        status: from :func:`ask`.

    Returns:
        0 (OK), 1 (WARNING) or 2 (CRITICAL), and the line for a person with performance data behind ``|``.
    """
    messages, peers, relay = status["messages"], status["peers"], status["relay"]
    publishers, listeners = len(peers["publishers"]), len(peers["listeners"])
    journal, upstream = status["journal"], status["upstream"]
    behind = ", ".join(f"{laggard['address']} (lost about {laggard['lost']})" for laggard in status["laggards"])
    if not messages["balanced"]:
        code, word, fact = 2, "CRITICAL", "the counters do not add up; "
    elif relay["since_last_turn"] > STUCK_SECONDS:
        code, word, fact = 2, "CRITICAL", f"the relay has been stuck for {relay['since_last_turn']:.0f} s; "
    elif dead := status["dead_threads"]:
        died = ", ".join(f"{name} of {cause}" for name, cause in dead.items())
        code, word, fact = 2, "CRITICAL", f"a thread of the relay has died, it has to be restarted: {died}; "
    elif faults := [door["fault"] for door in status["health"] if door["fault"]]:
        code, word, fact = 2, "CRITICAL", f"{', '.join(faults)}; "
    elif journal["fault"]:
        code, word, fact = 2, "CRITICAL", f"journal can not be written, messages go unjournaled: {journal['fault']}; "
    elif upstream and upstream["state"] == "loop":
        code, word, fact = 2, "CRITICAL", "the relay upstream is chained back to this one, nothing comes out; "
    elif upstream and set(upstream["states"]) != {"joined"}:
        links = zip(upstream["submit"], upstream["states"], upstream["reasons"], strict=True)
        away = [f"{at} ({why or 'it is being connected to'})" for at, state, why in links if state != "joined"]
        code, word, fact = 1, "WARNING", f"upstream is away: {', '.join(away)}; "
    elif journal["notices"]:
        code, word, fact = 1, "WARNING", f"{'; '.join(journal['notices'])}; "
    elif log_fault := status["log"]["fault"]:
        code, word, fact = 1, "WARNING", f"{status['log']['place']} cannot be written: {log_fault}; "
    elif status["crowded"]:
        code, word, fact = 1, "WARNING", f"too many connections at {', '.join(status['crowded'])}: some were closed; "
    elif behind:
        code, word, fact = 1, "WARNING", f"listeners do not keep up: {behind}; "
    else:
        code, word, fact = 0, "OK", "" if listeners else "no listener is connected, nobody hears what is published; "
    published = messages["published"] + messages["unjournaled"]
    line = (
        f"{word} - {fact}received {messages['received']}, published {published}, "
        f"waiting {messages['waiting']}, dropped {messages['dropped']}; "
        f"{publishers} publishers, {listeners} listeners; up {relay['uptime']:.0f} s"
    )
    perfdata = (
        f"received={messages['received']}c published={published}c dropped={messages['dropped']}c "
        f"waiting={messages['waiting']} journal={journal['bytes']}B "
        f"publishers={publishers} listeners={listeners} uptime={relay['uptime']:.0f}s"
    )
    return code, f"{line} | {perfdata}"


def details(status: Status) -> list[str]:
    """Write out a status for a person, below the first line.

    Args:
        status: from :func:`ask`.

    Returns:
        Lines.
    """
    relay, connections = status["relay"], status["connections"]
    upstream = status["upstream"] or {"submit": [], "outbound": [], "states": []}
    return [
        f"relay        version {relay['version']}, pid {relay['pid']}",
        *_bound(status),
        "settings     "
        + ", ".join(f"{key}={value}" for table in status["settings"].values() for key, value in table.items()),
        *(
            f"upstream     {state} {submit} {outbound}"
            for submit, outbound, state in zip(
                *(upstream[key] for key in ("submit", "outbound", "states")), strict=True
            )
        ),
        *(f"dropped      {count} {reason}" for reason, count in status["dropped"].items() if count),
        "connections  " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in connections.items()),
        *(f"{role[:-1]:12} {address}" for role in _ROLES for address in status["peers"][role]),
    ]


def _bound(status: Status) -> list[str]:
    """A line for each address; who uses it, where the endpoint has others."""
    lines = []
    for endpoint, bound in status["endpoints"].items():
        several = [one for one in status.get("addresses", ()) if one["endpoint"] == endpoint]  # none in older releases
        if len(several) > 1:
            lines += [f"bound        {endpoint} {one['address']} {_said_use(one)}" for one in several]
        else:
            lines += [f"bound        {endpoint} {address}" for address in bound]
    return lines


def _said_use(one: Status) -> str:
    return f"used by {', '.join(one['peers'])}" if one["peers"] else f"unused for {one['idle_seconds']:.0f} s"
