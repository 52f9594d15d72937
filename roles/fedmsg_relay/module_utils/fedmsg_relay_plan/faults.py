"""Finds what cannot work by the inventory alone, before any host is looked at.

Each check returns a sentence, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fedmsg_relay_plan.endpoints import NONE
from fedmsg_relay_plan.told import Inventory
from fedmsg_relay_plan.tolerance import is_tolerance
from fedmsg_relay_plan.world import World, read

NAME = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$")


def fault_of(inventory: Mapping[str, Any], name: str, run: Mapping[str, Any]) -> str:
    """Find a fault of the inventory, as a filter.

    Args:
        inventory: what it says of one host, by the attributes of :class:`Inventory`.
        name: the host.
        run: as :func:`fedmsg_relay_plan.world.read` takes it.

    Returns:
        A sentence; empty if there is no fault.
    """
    world = read(run, {})
    sentence = next(filter(None, (check(world, name, Inventory(**inventory)) for check in CHECKS)), "")
    return f"{sentence} Nothing was changed." if sentence else ""


def no_relay(world: World, _name: str, _inventory: Inventory) -> str:
    """A run without a relay would leave none."""
    if world.relays:
        return ""
    return f"The group {world.group} has no host, so no relay would remain. Put the relay's host into the group."


def unusable_name(world: World, name: str, inventory: Inventory) -> str:
    """Every relay has a usable address on the network of the host."""
    network = inventory.network
    for relay in world.relays:
        address = world.name_of(relay, network)
        if address == NONE:
            return (
                f"The relay {relay} has no address on the network {network}, on which {name} is: "
                f"set fedmsg_relay_addresses.{network} on {relay}."
            )
        if not NAME.match(address):
            return (
                f"The address of the relay {relay} on the network {network} is neither a host name nor an IP address: "
                f"{address}."
            )
    return ""


def shared_name(world: World, _name: str, inventory: Inventory) -> str:
    """No two relays have one address."""
    names = [world.name_of(relay, inventory.network) for relay in world.relays]
    if len(set(names)) == len(names):
        return ""
    return f"Each relay needs an address of its own. These are the addresses: {', '.join(names)}."


def named_twice(world: World, _name: str, inventory: Inventory) -> str:
    """The addresses of the relay come from the group alone."""
    extra = inventory.config_extra
    if not {"relay_inbound", "relay_submit"} & set(extra) and "relay_outbound" not in (extra.get("endpoints") or {}):
        return ""
    return (
        f"fedmsg_relay_config_extra names the relay, but the relay's addresses come from the group {world.group}. "
        "Remove relay_inbound, relay_submit and endpoints.relay_outbound from it."
    )


def unknown_tolerance(world: World, _name: str, _inventory: Inventory) -> str:
    """The inventory says in a form that the plan knows which hosts a run can do without."""
    if is_tolerance(world.tolerance):
        return ""
    return (
        f"fedmsg_relay_tolerate_unreachable is {world.tolerance!r}: write a list of hosts, a number, a share such as "
        "10%, or all."
    )


def bridged_twice(_world: World, _name: str, inventory: Inventory) -> str:
    """The settings of the bridge have a file of their own, which not everybody can read."""
    if "bridge" not in inventory.settings:
        return ""
    return "fedmsg_relay_settings has the table bridge. Its keys belong to fedmsg_relay_bridge."


def nowhere_to_fetch(world: World, name: str, inventory: Inventory) -> str:
    """Stock consumers are told a place that is there."""
    if not inventory.datagrepper or world.webs:
        return ""
    return (
        f"fedmsg_relay_datagrepper is set on {name}, but no relay has a web process: set fedmsg_relay_web for the "
        f"group {world.group}."
    )


CHECKS: tuple[Callable[[World, str, Inventory], str], ...] = (
    no_relay,
    unknown_tolerance,
    unusable_name,
    shared_name,
    named_twice,
    bridged_twice,
    nowhere_to_fetch,
)
