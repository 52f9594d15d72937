"""The web processes beside relays: which host has one, whether it is as it should be, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedmsg_relay_plan.endpoints import on_network
from fedmsg_relay_plan.inventory import Variables, is_true, table
from fedmsg_relay_plan.parts import Part, part
from fedmsg_relay_plan.world import Host, World

PORT = "9943"
"""Where it listens if relay.toml does not say it."""


def serves(world: World, host: Host) -> bool:
    """Whether a host is to have the web process. A relay that leaves has none: its listeners go to the new relay."""
    return part(world, host) is Part.RELAY and host.inventory.web


def stops_serving(world: World, host: Host) -> bool:
    """Whether the web process is on a host that is to have none."""
    return not serves(world, host) and part(world, host) is not Part.GONE and host.paths.web in host.ours


def is_served(host: Host) -> bool:
    """Whether the web process runs from the program, the unit and the settings that are on the host.

    Args:
        host: it is to have the web process.

    Returns:
        Whether it needs no change.
    """
    seen = host.looked["web"]
    return host.text(host.paths.web) == host.wanted.texts[host.paths.web] and seen["ready"] and not seen["outdated"]


def urls(relays: Variables, network: str) -> list[str]:
    """Find where web processes are, as a filter.

    Args:
        relays: those of the group, as :func:`fedmsg_relay_plan.inventory.relays` tells them.
        network: where they are to be found.

    Returns:
        The URLs, in the same order.
    """
    return [
        f"http://{name}:{_port(table(known, 'fedmsg_relay_settings'))}"
        for name, known in zip(on_network(relays, network), relays.values(), strict=True)
        if is_true(known.get("fedmsg_relay_web"))
    ]


def _port(settings: Mapping[str, Any]) -> str:
    listen = (settings.get("http") or {}).get("listen") or []
    ports = [str(address).rpartition(":")[2] for address in listen if str(address).startswith("tcp://")]
    return ports[0] if ports else PORT
