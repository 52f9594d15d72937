"""Finds the ports that a firewall has to let through to a relay's host, and whether some have to be closed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from fedmsg_relay_plan.addresses import Addresses, places
from fedmsg_relay_plan.parts import Part, old_addresses, part
from fedmsg_relay_plan.web import PORT
from fedmsg_relay_plan.world import Host, World


def has_ports_left(world: World, host: Host) -> bool:
    """Whether ports are open on a host without a relay: a run may have ended after the relay was retired."""
    return host.inventory.firewalld and part(world, host) is Part.SCRIPTS and bool(host.text(host.paths.firewall))


def closes_ports(world: World, host: Host) -> bool:
    """Whether ports may have to be closed when the relay of a host, or an old address, is retired."""
    retires = part(world, host) is Part.LEAVING or bool(old_addresses(world, host))
    return has_ports_left(world, host) or (host.inventory.firewalld and retires)


def open_ports(binds: Addresses, settings: Mapping[str, Any], *, web: bool) -> list[int]:
    """Derive the ports from the settings, as a filter.

    Args:
        binds: what the relay here binds, its old addresses too.
        settings: the tables of relay.toml.
        web: whether the web process runs here.

    Returns:
        The ports, without those that only this host can reach.
    """
    addresses = [address for _, address in places(binds)]
    if web:
        addresses += [str(address) for address in (settings.get("http") or {}).get("listen") or [f"tcp://*:{PORT}"]]
    reachable = [address for address in addresses if address.startswith("tcp://") and not _is_own(address)]
    ports = {address.rpartition(":")[2] for address in reachable}
    return sorted(int(port) for port in ports if port.isdigit())


def _is_own(address: str) -> bool:
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
