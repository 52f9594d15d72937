"""Reads what the inventory says of other hosts, also of those outside the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Variables = Mapping[str, Mapping[str, Any]]
"""For each host some of its variables. One outside the run has no defaults of the role."""

OF_RELAYS = ("fedmsg_relay_addresses", "fedmsg_relay_settings", "fedmsg_relay_web")
OF_BUS = ("fedmsg_relay_cert_host", "fedmsg_relay_certs", "fedmsg_relay_needs", "fedmsg_relay_sign")


def relays(hosts: Iterable[str], hostvars: Variables) -> dict[str, dict[str, Any]]:
    """Read what every host has to know of the relays, as a filter.

    Args:
        hosts: those of the group.
        hostvars: Ansible's.

    Returns:
        For each host those of :data:`OF_RELAYS` that the inventory has.
    """
    return _some(hosts, hostvars, OF_RELAYS)


def bus(hosts: Iterable[str], hostvars: Variables) -> dict[str, dict[str, Any]]:
    """Read what every host has to know of all others, as a filter.

    Args:
        hosts: all of the bus.
        hostvars: Ansible's.

    Returns:
        For each host those of :data:`OF_BUS` that the inventory has.
    """
    return _some(hosts, hostvars, OF_BUS)


def is_true(value: Any) -> bool:
    """Take a variable for true or false as Ansible does.

    Args:
        value: a bool, or what an INI file or the command line makes of one.

    Returns:
        Whether it is true.
    """
    return str(value).lower() in {"true", "yes", "on", "1"}


def table(known: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give a variable that is to be a dict. A faulty value is refused with its host.

    Args:
        known: variables of a host.
        name: of one of them.

    Returns:
        The dict; an empty one for anything else.
    """
    value = known.get(name)
    return value if isinstance(value, Mapping) else {}


def merged(*many: Mapping[str, Any]) -> dict[str, Any]:
    """Merge dicts. Where two have a key, what comes later counts; if both values are dicts, these are merged.

    Args:
        many: the dicts.

    Returns:
        One dict, whose keys are in the order in which they came first.
    """
    found: dict[str, Any] = {}
    for one in many:
        for key, value in one.items():
            known = found.get(key)
            found[key] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return found


def _some(hosts: Iterable[str], hostvars: Variables, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Ansible resolves a variable when it is read, so no others are read."""
    found = {}
    for host in hosts:
        known = hostvars[host]
        found[host] = {name: known[name] for name in names if name in known}
    return found
