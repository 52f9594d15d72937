"""Refuses a config before it is written. Each guard returns a sentence, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Addresses = Mapping[str, Any]


def fault_of(checked: Mapping[str, Any], host: str, inventory: Addresses, config: str) -> str:
    """Find out why a config cannot be written, as a filter.

    Args:
        checked: what ``fedmsg_relay_check`` found.
        host: where.
        inventory: by key of the global config the addresses of the inventory.
        config: the path of the global config.

    Returns:
        A sentence; empty if it can.
    """
    if checked["rc"] != 0:
        return (
            f"{checked['program']} refuses the merged config or the journal of {host}, so nothing was written and "
            f"nothing is restarted: {checked['stderr']}"
        )
    return _renamed(checked["named"], host, inventory, config) or _overridden(checked, host, inventory, config)


def _renamed(named: Addresses, host: str, inventory: Addresses, config: str) -> str:
    """A stock relay that is adopted stays where it is: nobody reconfigures its peers."""
    for key in ("relay_inbound", "relay_outbound"):
        if key in named and named[key] != inventory[key]:
            return (
                f"The config of {host} names {_listed(named[key])} as {key}, and the inventory would make it "
                f"{_listed(inventory[key])}. Publishers and listeners that nobody reconfigures would not find the "
                "relay. Let the inventory name the same address (fedmsg_relay_addresses, fedmsg_relay_inbound_port, "
                f"fedmsg_relay_outbound_port), or remove {key} from {config.rpartition('/')[0]}. The relay here was "
                "left as it was."
            )
    return ""


def _overridden(checked: Mapping[str, Any], host: str, inventory: Addresses, config: str) -> str:
    """By the rules of the global config what is read last wins."""
    merged = json.loads(checked["stdout"]) if checked["program"] else inventory
    for key, wanted in inventory.items():
        if merged[key] != wanted:
            return (
                f"The config of {host} as merged names {_listed(merged[key])} as {key}. The inventory says "
                f"{_listed(wanted)}. A file that is read after {config} overrides it: remove {key} from that file. "
                "Nothing was written and nothing is restarted."
            )
    return ""


def _listed(addresses: Any) -> str:
    return " ".join(addresses)
