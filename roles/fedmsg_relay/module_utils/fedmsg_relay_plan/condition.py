"""Says for people how a host is, and how it differs from the inventory: what ``playbooks/status.yml`` shows."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedmsg_relay_plan import addresses
from fedmsg_relay_plan.bridge import bridges
from fedmsg_relay_plan.parts import Part, has_program, old_addresses, part
from fedmsg_relay_plan.trust import trust_told
from fedmsg_relay_plan.web import serves
from fedmsg_relay_plan.world import Host, World, read

SPOOLED = re.compile(r"[0-9]{20}-")
"""The name of a file in the spool begins with its time, in nanoseconds."""

RUN = "run playbooks/relay.yml"
KEYS = ("relay_inbound", "relay_outbound", "relay_submit")


@dataclass(frozen=True)
class Found:
    """What a host is to be, and what was found there.

    Attributes:
        group: the name of the group of relays.
        relays: its hosts.
        here: whether this host is one of them.
        looked: ``service`` and ``status`` of ``fedmsg_relay_look``.
        chained: whether the inventory chains the relay here.
        signatures: what the inventory says about signatures.
        trust: what the relay found of signatures, for people.
        old: addresses to be retired, by endpoint.
        program: whether the program is to be here.
        endpoints: what its command ``endpoints`` said: ``stdout`` and ``stderr``.
        inventory: the addresses of the inventory, a list for each of ``KEYS``.
        unreachable: the endpoints that the host needs and does not reach.
        spooled: what the command ``spool ls --json`` said; empty if it does not run.
        patience: seconds for which a message may wait in the spool.
        web_missing: whether the web process is to run here and does not.
        bridge: the bridge: whether it is ``wanted`` and ``here``, and whether its settings ``differs``.
        behind: the path of the global config if it differs from the inventory.
    """

    group: str
    relays: list[str]
    here: bool
    looked: Mapping[str, Any]
    chained: bool
    signatures: str
    trust: str
    old: Mapping[str, list[str]]
    program: bool
    endpoints: Mapping[str, Any]
    inventory: list[list[str]]
    unreachable: str
    spooled: str
    patience: int
    web_missing: bool
    bridge: Mapping[str, bool]
    behind: str

    @property
    def running(self) -> bool:
        """Whether the relay's unit runs."""
        return int(self.looked["service"]["started"]) > 0

    @property
    def status(self) -> Mapping[str, Any]:
        """What the relay answers; empty if none does."""
        return self.looked["status"]["answer"]  # type: ignore[no-any-return]

    @property
    def upstream(self) -> Mapping[str, Any]:
        """What the relay is chained to."""
        return self.status.get("upstream") or {}

    @property
    def named(self) -> Mapping[str, Any]:
        """The relays that the config as merged names; empty if it cannot be read."""
        return json.loads(self.endpoints.get("stdout") or "{}")  # type: ignore[no-any-return]

    @property
    def waiting(self) -> list[str]:
        """The files that wait in the spool."""
        return [name for name in json.loads(self.spooled or "{}").get("waiting", ()) if SPOOLED.match(name)]


def of(told: Mapping[str, Any], name: str, run: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Say how a host is and what is wrong with it, as a filter.

    Args:
        told: what it said of itself, as :func:`fedmsg_relay_plan.world.read` takes it.
        name: the host.
        run: what all hosts share, likewise.
        now: what the status alone asks for: ``status``, what the relay answers; ``inventory``, the addresses of the
            relays by key of the global config; and ``endpoints``, ``unreachable``, ``spooled`` and ``patience``, as
            :class:`Found` has them.

    Returns:
        ``summary`` and ``faults``.
    """
    world = read(run, {name: told})
    known = found(world, world.hosts[name], now)
    return {"summary": summary(known), "faults": faults(known)}


def found(world: World, host: Host, now: Mapping[str, Any]) -> Found:
    """Put together what is known of a host.

    Args:
        world: the world.
        host: of it.
        now: as :func:`of` takes it.

    Returns:
        What it is to be, and what was found there.
    """
    program = has_program(world, host)
    return Found(
        group=world.group,
        relays=list(world.relays),
        here=part(world, host) is Part.RELAY,
        looked=host.looked,
        chained="upstream" in host.inventory.settings,
        signatures=host.inventory.signatures,
        trust=trust_told(now["status"]),
        old=old_addresses(world, host),
        program=program,
        endpoints=now["endpoints"],
        inventory=[now["inventory"][key] for key in KEYS],
        unreachable=now["unreachable"],
        spooled=now["spooled"] if program else "",
        patience=now["patience"],
        web_missing=serves(world, host) and not host.looked["web"]["ready"],
        bridge={
            "wanted": bridges(world, host),
            "here": host.paths.bridge in host.ours,
            "differs": host.wanted.bridge_differs,
        },
        behind=host.paths.config if host.is_behind else "",
    )


def summary(found: Found) -> str:
    """Say how a host is.

    Args:
        found: what was found there.

    Returns:
        Clauses.
    """
    status, upstream, peers = found.status, found.upstream, found.status.get("peers") or {}
    clauses = [status.get("summary", "the relay does not answer") if found.running else "no relay runs here"]
    if upstream:
        users = [one for kind in ("publishers", "submitters", "listeners") for one in peers.get(kind, ())]
        clauses.append(f"hands over to {upstream['using'] or ' '.join(upstream['submit'])} ({upstream['state']})")
        clauses.append(f"still used by {', '.join(users)}" if users else f"unused for {int(peers['idle_seconds'])} s")
    if status and found.old:
        clauses.append(f"bound to old addresses as well: {'; '.join(addresses.use(found.old, status))}")
    if found.bridge["here"]:
        clauses.append(f"bridge: {found.looked['bridge']['summary']}")
    if found.waiting:
        clauses.append(f"{len(found.waiting)} wait in the spool")
    if found.running and found.signatures != "off":
        clauses.append(found.trust)
    named = " ".join(found.named["relay_inbound"]) if found.named else "something that no program here can read"
    return "; ".join([*clauses, f"config names {named}"])


def faults(found: Found, now: float | None = None) -> list[str]:
    """Find how a host differs from the inventory.

    Args:
        found: what was found there.
        now: the time in Unix seconds.

    Returns:
        Clauses; none if it is well.
    """
    running, upstream, here = found.running, found.upstream, found.here
    other = [found.named.get(key, []) for key in KEYS]
    signatures = (found.status.get("trust") or {}).get("signatures")
    waited = int((now or time.time()) - int(found.waiting[0][:20]) / 1e9) if found.waiting else 0
    possible = {
        f"the group {found.group} has no host": not found.relays,
        "a relay should run here and does not": here and not running,
        f"the relay is not well: {found.status.get('summary') or found.looked['status']['stderr']}": (
            running and found.looked["status"]["rc"] not in {0, 1}
        ),
        f"the relay should run by itself but is chained: {RUN}": (
            running and here and bool(upstream) and not found.chained
        ),
        f"a relay runs here by itself, outside the group {found.group}: {RUN}": running and not here and not upstream,
        "the relay here cannot hand over: its upstream is away": upstream.get("state") == "away",
        f"a relay is installed here, outside the group {found.group}: {RUN}": (
            found.looked["service"]["loaded"] and not running and not here
        ),
        f"the program is not installed, or its config is faulty: {found.endpoints.get('stderr', '')}": (
            found.program and not found.named
        ),
        f"the config as merged names {_listed(other)}, the inventory says {_listed(found.inventory)}": (
            bool(found.named) and other != found.inventory
        ),
        f"the relay treats signatures as {signatures or 'unknown'}, the inventory says {found.signatures}: {RUN}": (
            running and here and (signatures or "off") != found.signatures
        ),
        "the web process should run here and does not: `journalctl -u fedmsg-relay-web` says why": found.web_missing,
        **_of_bridge(found),
        f"this host does not reach {found.unreachable}": bool(found.unreachable),
        f"{len(found.waiting)} messages wait in the spool, the oldest for {waited} s: "
        "`journalctl -u fedmsg-relay-spool` says why": waited > found.patience,
        f"{found.behind} differs from the inventory: {RUN}": bool(found.behind),
    }
    return [fault for fault, is_so in possible.items() if is_so]


def _of_bridge(found: Found) -> dict[str, bool]:
    seen, wanted, here = found.looked["bridge"], found.bridge["wanted"], found.bridge["here"]
    return {
        "the bridge should run here and does not: `journalctl -u fedmsg-relay-bridge` says why": (
            wanted and not seen["ready"]
        ),
        f"the bridge is not well: {seen['summary']}": here and seen["ready"] and seen["rc"] not in {0, 1},
        f"a bridge is here that the inventory does not want ({seen['summary']}): {RUN}": here and not wanted,
        f"the settings of the bridge differ from the inventory: {RUN}": wanted and here and found.bridge["differs"],
    }


def _listed(lists: list[list[str]]) -> str:
    return ", ".join(map(" ".join, lists))
