"""Decides about keys and signatures: which keys come and go, when a relay reads the policy, what is refused."""

from __future__ import annotations

from fedmsg_relay_plan.parts import Part, part
from fedmsg_relay_plan.world import Host, World

SIGNS = "'sign_messages': True"


def dropped(host: Host) -> list[str]:
    """Find keys and certificates that the role has written here and that the inventory no longer names.

    Args:
        host: the host.

    Returns:
        Their paths.
    """
    listed = host.text(host.paths.keys).splitlines()
    return [path for path in listed if path.startswith("/") and path not in host.wanted.keys]


def reads_policy(world: World, host: Host) -> bool:
    """Whether a relay of the group has to read the routing policy: its config changes, or has changed since it read it.

    Args:
        world: the world.
        host: of it.

    Returns:
        Whether it has to.
    """
    if part(world, host) is not Part.RELAY or host.inventory.signatures == "off":
        return False
    # A reload changes the state of a unit too. Whole seconds: a file is written before the reload that follows it.
    read = int(host.unit.get("StateChangeTimestamp", "").removeprefix("@") or 0)
    return host.is_behind or int(host.looked["configured"]) > read


def enforced_early(world: World, host: Host) -> str:
    """A relay begins to enforce before the configs of other hosts are written, so these sign already."""
    if part(world, host) is not Part.RELAY or host.inventory.signatures != "enforce":
        return ""
    configs = {
        other.name: other.text(other.paths.config) for other in world.hosts.values() if other.inventory.publishes
    }
    late = sorted(name for name, config in configs.items() if config and SIGNS not in config)
    if not late:
        return ""
    return (
        f"fedmsg_relay_trust is enforce on {host.name}, and the config of {', '.join(late)} does not say sign_messages "
        "yet, so messages would be refused during this run: run with fedmsg_relay_trust warn first."
    )


def unknown_owner(_: World, host: Host) -> str:
    """Keys are given to users and groups that exist."""
    if not host.keys.unknown:
        return ""
    return (
        f"{host.name} has no {' and no '.join(host.keys.unknown)}, to which fedmsg_relay_certs gives a key: make it "
        "first, or correct the owner or group."
    )


def keys_of_others(_: World, host: Host) -> str:
    """Keys that the role did not write are replaced only where the inventory says so."""
    if not host.keys.foreign or host.inventory.adopt:
        return ""
    return (
        f"Not written by this role: {', '.join(host.keys.foreign)} on {host.name}, and not the same as in "
        "fedmsg_relay_certs_from. If this role shall replace them, set fedmsg_relay_adopt: true: it keeps copies in "
        f"{host.paths.adopted}. Otherwise remove them first."
    )
