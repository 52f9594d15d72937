"""Refuses values of a wrong type, which the specs of the role accept: Ansible would make a list or a dict of a text.

A text in the place of a list would be read as a list of its characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedmsg_relay_plan.inventory import Variables, table

DICTS = (
    "fedmsg_relay_addresses",
    "fedmsg_relay_bridge",
    "fedmsg_relay_config_extra",
    "fedmsg_relay_policy_extra",
    "fedmsg_relay_settings",
)
LISTS = ("fedmsg_relay_certs", "fedmsg_relay_dependents", "fedmsg_relay_gone", "fedmsg_relay_needs")


def fault_of(own: Mapping[str, Any], name: str, relays: Variables, bus: Variables) -> str:
    """Find a value of a wrong type, as a filter.

    Args:
        own: variables of the host, of :data:`DICTS` and :data:`LISTS`.
        name: the host.
        relays: variables of the relays, as :func:`fedmsg_relay_plan.inventory.relays` tells them.
        bus: those of all hosts, as :func:`fedmsg_relay_plan.inventory.bus` tells them.

    Returns:
        A sentence; empty if there is none.
    """
    found = [
        f"{fault} on {host}" for host, known in [(name, own), *bus.items(), *relays.items()] for fault in _faults(known)
    ]
    if not found:
        return ""
    return f"{found[0]}. Write it as YAML, in host_vars or group_vars, or as JSON with -e. Nothing was changed."


def _faults(known: Mapping[str, Any]) -> Iterator[str]:
    for name in DICTS:
        value = known.get(name, {})
        if not isinstance(value, Mapping) and not (name == "fedmsg_relay_bridge" and value is False):
            yield f"{name} has to be a dict and is not"
    for name in LISTS:
        if not _is_list(known.get(name, [])):
            yield f"{name} has to be a list and is not"
    certs = known.get("fedmsg_relay_certs") or ()
    for cert in certs if _is_list(certs) else ():
        if isinstance(cert, Mapping) and not _is_list(cert.get("can_send") or []):
            yield f"can_send of {cert.get('service', '')} in fedmsg_relay_certs has to be a list and is not"
    for topic, names in table(known, "fedmsg_relay_policy_extra").items():
        if not _is_list(names):
            yield f"fedmsg_relay_policy_extra has to have a list for {topic} and has not"
    for key, settings in table(known, "fedmsg_relay_settings").items():
        if not isinstance(settings, Mapping):
            yield f"fedmsg_relay_settings has to have a dict for {key} and has not"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
