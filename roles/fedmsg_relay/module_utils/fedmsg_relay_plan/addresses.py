"""Compares the addresses of a relay with those of the inventory: which are old, and which of the old ones are unused.

Addresses are lists by endpoint, ``{"inbound": ["tcp://*:9941"], ...}``, as ``[bind]`` of relay.toml has them. The
inventory may be faulty: the program refuses that later and says what is accepted.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

Addresses = Mapping[str, Any]
Status = Mapping[str, Any]

ENDPOINTS = ("inbound", "outbound", "submit")
EVERY = "*"


def bound(status: Status, settings: str) -> dict[str, list[str]]:
    """Find what a relay is bound to; if it does not answer, what its settings make it bind.

    Args:
        status: the relay's status; empty if no relay answers.
        settings: the text of its relay.toml; empty if there is none.

    Returns:
        The addresses, written as a relay writes them.
    """
    found = status.get("endpoints")
    if not found:
        try:
            found = tomllib.loads(settings).get("bind", {})
        except tomllib.TOMLDecodeError:
            found = {}
    return {
        endpoint: _unique(map(_written, _list(found, endpoint))) for endpoint in ENDPOINTS if _list(found, endpoint)
    }


def missing(have: Addresses, others: Addresses, held: Iterable[str] = ()) -> dict[str, list[str]]:
    """Find the addresses that are not among others. Of bound and wanted addresses these are the old ones.

    Args:
        have: from :func:`bound`, or from the inventory.
        others: likewise.
        held: ports that another process has: no peer finds the relay there.

    Returns:
        The addresses without an equal, and without a wildcard of the same port.
    """
    found = {}
    for endpoint in ENDPOINTS:
        there = {_written(address) for address in _list(others, endpoint)}
        wildcards = {_port(address) for address in there if _host(address) == EVERY}
        left = [
            address
            for address in _unique(map(_written, _list(have, endpoint)))
            if address not in there and _port(address) not in wildcards and _port(address) not in set(held)
        ]
        if left:
            found[endpoint] = left
    return found


def without(addresses: Addresses, others: Addresses) -> dict[str, list[str]]:
    """Take addresses away.

    Args:
        addresses: by endpoint.
        others: the addresses to take away.

    Returns:
        The remaining addresses.
    """
    left = {
        endpoint: [one for one in found if one not in _list(others, endpoint)] for endpoint, found in addresses.items()
    }
    return {endpoint: found for endpoint, found in left.items() if found}


def merged(wanted: Any, old: Addresses) -> Any:
    """Put old addresses behind the wanted ones.

    Args:
        wanted: of the inventory, as it spells them.
        old: from :func:`missing`.

    Returns:
        What to bind.
    """
    if not isinstance(wanted, Mapping):
        return wanted
    more = {endpoint: [*_list(wanted, endpoint), *addresses] for endpoint, addresses in old.items()}
    return {**wanted, **more}


def spelled(have: Addresses, wanted: Any) -> Any:
    """Spell bound addresses as the inventory does, where it names the same.

    Args:
        have: from :func:`bound`.
        wanted: of the inventory.

    Returns:
        The addresses; for an endpoint without one the wanted addresses.
    """
    if not isinstance(wanted, Mapping):
        return wanted
    names = {_written(address): address for endpoint in ENDPOINTS for address in _list(wanted, endpoint)}
    return {**wanted, **{endpoint: [names.get(address, address) for address in have[endpoint]] for endpoint in have}}


def clashes(old: Addresses, wanted: Addresses) -> list[str]:
    """Find old addresses that the inventory gives to another endpoint.

    Args:
        old: from :func:`missing`.
        wanted: of the inventory.

    Returns:
        A clause for each.
    """
    return [
        f"{address} belongs to {endpoint} until it is unused, and would become {other}'s"
        for endpoint in ENDPOINTS
        for address in _list(old, endpoint)
        for other in ENDPOINTS
        if other != endpoint and any(_overlap(address, _written(new)) for new in _list(wanted, other))
    ]


def unused(old: Addresses, status: Status, grace: float) -> dict[str, list[str]]:
    """Find the old addresses that can be retired.

    Args:
        old: from :func:`missing`.
        status: the relay's status now.
        grace: seconds for which an address must have been unused.

    Returns:
        The unused addresses.
    """
    idle = {place: one["idle_seconds"] for place, one in _told(status).items() if not one["peers"]}
    still = {
        endpoint: [address for address in addresses if idle.get((endpoint, address), -1) < grace]
        for endpoint, addresses in old.items()
    }
    return without(old, still)


def use(old: Addresses, status: Status) -> list[str]:
    """Name the peers that use old addresses.

    Args:
        old: from :func:`missing`.
        status: the relay's status now.

    Returns:
        A clause for each address.
    """
    told = _told(status)
    clauses = []
    for endpoint, address in places(old):
        one = told.get((endpoint, address))
        if one is None:
            clauses.append(f"{endpoint} {address}, whose use the relay here does not report")
        elif one["peers"]:
            clauses.append(f"{endpoint} {address}, used by {', '.join(one['peers'])}")
        else:
            clauses.append(f"{endpoint} {address}, unused for {one['idle_seconds']:.0f} s")
    return clauses


def listed(addresses: Addresses) -> str:
    """Write addresses into a sentence.

    Args:
        addresses: by endpoint.

    Returns:
        Such as ``inbound tcp://*:9941, submit tcp://*:9942``.
    """
    return ", ".join(f"{endpoint} {address}" for endpoint, address in places(addresses))


def connectable(address: str, own: str) -> str:
    """Make of a bound address one to connect to from the same host.

    Args:
        address: as it is bound.
        own: this host, such as ``tcp://app01``.

    Returns:
        The address, with this host's name in place of a wildcard.
    """
    return f"{own}:{_port(address)}" if _host(address) in {EVERY, "0.0.0.0", "[::]"} else address  # noqa: S104


def _list(addresses: Any, endpoint: str) -> list[str]:
    found = addresses.get(endpoint) if isinstance(addresses, Mapping) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def places(addresses: Addresses) -> list[tuple[str, str]]:
    """List addresses.

    Args:
        addresses: by endpoint.

    Returns:
        Each endpoint with one of its addresses.
    """
    return [(endpoint, address) for endpoint in ENDPOINTS for address in _list(addresses, endpoint)]


def _told(status: Status) -> dict[tuple[str, str], Any]:
    return {(one["endpoint"], one["address"]): one for one in status.get("addresses", ())}


def _unique(addresses: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(addresses))


def _host(address: str) -> str:
    return re.sub(r"^tcp://|:\d+$", "", address)


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def _written(address: str) -> str:
    """As the relay writes it: a name of its host is bound on every address."""
    host = _host(address)
    if not address.startswith("tcp://") or host == EVERY:
        return address
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return f"tcp://{EVERY}:{_port(address)}"
    return address


def _overlap(one: str, other: str) -> bool:
    """Whether both cannot be bound for different endpoints."""
    return one == other or (_port(one) == _port(other) and EVERY in {_host(one), _host(other)})
