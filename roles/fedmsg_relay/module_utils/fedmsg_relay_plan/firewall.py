"""Finds the ports that a firewall has to let through to a relay's host."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from fedmsg_relay_plan.addresses import Addresses, places
from fedmsg_relay_plan.web import PORT


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
