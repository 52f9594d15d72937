"""The web processes beside relays: which host has one, whether it is as it should be, and where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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


def urls(relays: Iterable[tuple[str, bool, Mapping[str, Any]]]) -> list[str]:
    """Find where web processes are, as a filter.

    Args:
        relays: for each relay its name, whether it has a web process, and its ``fedmsg_relay_settings``.

    Returns:
        The URLs, in the same order.
    """
    return [f"http://{name}:{_port(settings)}" for name, has_one, settings in relays if has_one]


def _port(settings: Mapping[str, Any]) -> str:
    listen = (settings.get("http") or {}).get("listen") or []
    ports = [str(address).rpartition(":")[2] for address in listen if str(address).startswith("tcp://")]
    return ports[0] if ports else PORT
