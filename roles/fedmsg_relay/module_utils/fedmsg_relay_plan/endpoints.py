"""Names the endpoints of the relays as a host finds them on its network.

Relays are told as :func:`fedmsg_relay_plan.inventory.relays` tells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedmsg_relay_plan.inventory import Variables, table

ORDER = ("inbound", "submit", "outbound")
"""In which a host tries them."""

NONE = "-"
"""In place of a name, where a relay has none on a network. A run refuses that."""


def names(relays: Variables) -> dict[str, Mapping[str, Any]]:
    """Find what the inventory calls the relays, as a filter.

    Args:
        relays: those of the group.

    Returns:
        For each ``fedmsg_relay_addresses``.
    """
    return {relay: table(known, "fedmsg_relay_addresses") for relay, known in relays.items()}


def name_of(relay: str, addresses: Mapping[str, Any], network: str) -> str:
    """Give the name of a relay.

    Args:
        relay: the host.
        addresses: its ``fedmsg_relay_addresses``.
        network: where it is to be found.

    Returns:
        Its name or IP address there; :data:`NONE` if it has none.
    """
    return str({"default": relay, **addresses}.get(network) or NONE)


def bracketed(name: str) -> str:
    """Write a name as it stands before a port: an IPv6 address in brackets."""
    return f"[{name}]" if ":" in name else name


def on_network(relays: Variables, network: str) -> list[str]:
    """Name the relays as they stand before a port.

    Args:
        relays: those of the group.
        network: where they are to be found.

    Returns:
        A name for each, in the same order.
    """
    return [bracketed(name_of(relay, known, network)) for relay, known in names(relays).items()]


def of_relays(relays: Variables, network: str, ports: Mapping[str, Any]) -> dict[str, list[str]]:
    """Find where the relays are, as a filter.

    Args:
        relays: those of the group.
        network: where they are to be found.
        ports: of this host's variables, by endpoint.

    Returns:
        The addresses by key of the global config, such as ``relay_inbound``.
    """
    known = on_network(relays, network)
    return {f"relay_{endpoint}": [f"tcp://{name}:{port}" for name in known] for endpoint, port in ports.items()}


def own(addresses: Mapping[str, Any], host: str, network: str) -> str:
    """Begin an address of a relay on its own host, as a filter.

    Args:
        addresses: its ``fedmsg_relay_addresses``.
        host: its name in the inventory.
        network: the one that the host is on.

    Returns:
        Such as ``tcp://app01``.
    """
    return f"tcp://{bracketed(str({'default': host, **addresses}.get(network, host)))}"


def needed(endpoints: Mapping[str, list[str]], needs: Iterable[str]) -> list[list[str]]:
    """List the endpoints that a host needs, as a filter.

    Args:
        endpoints: from :func:`of_relays`.
        needs: ``fedmsg_relay_needs``.

    Returns:
        Pairs of a key of the global config and an address.
    """
    wanted = [f"relay_{endpoint}" for endpoint in ORDER if endpoint in set(needs)]
    return [[key, address] for key in wanted for address in endpoints[key]]


def ways(endpoints: Mapping[str, list[str]], relays: Iterable[str]) -> dict[str, list[str]]:
    """Find where a message goes into each relay, and where it comes out, as a filter.

    Args:
        endpoints: from :func:`of_relays`.
        relays: their names in the inventory, in the same order.

    Returns:
        For each relay its inbound and its outbound.
    """
    pairs = zip(endpoints["relay_inbound"], endpoints["relay_outbound"], strict=True)
    return {relay: list(pair) for relay, pair in zip(relays, pairs, strict=True)}


def cut_off(hosts: Iterable[str], hostvars: Variables) -> str:
    """Say which hosts do not reach endpoints that they need, as a filter.

    Args:
        hosts: those of the run.
        hostvars: Ansible's, with what ``fedmsg_relay_reach`` found on each.

    Returns:
        A sentence, and what to do; empty if all hosts reach what they need.
    """
    found = {host: table(hostvars[host], "__fedmsg_relay_reached").get("not_reached") for host in hosts}
    clauses = [f"{host} does not reach {endpoints}" for host, endpoints in found.items() if endpoints]
    if not clauses:
        return ""
    return (
        f"{'; '.join(clauses)}. Open these ports, or remove an endpoint that such a host does not need from its "
        "fedmsg_relay_needs."
    )
