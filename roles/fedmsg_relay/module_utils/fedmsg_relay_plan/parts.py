"""The part that each host has in a run."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from fedmsg_relay_plan import addresses
from fedmsg_relay_plan.endpoints import bracketed
from fedmsg_relay_plan.world import Host, World


class Part(StrEnum):
    """What a host is in a run."""

    RELAY = "relay"
    """The relay of the group."""

    LEAVING = "leaving"
    """Our relay is here, and the host has left the group."""

    SCRIPTS = "scripts"
    """Scripts, publishers and listeners."""

    GONE = "gone"
    """As before, and ``fedmsg_relay_gone`` names it: its relay is left alone."""


def part(world: World, host: Host) -> Part:
    """Find the part of a host.

    Args:
        world: the world.
        host: of it.

    Returns:
        The part.
    """
    if host.name in world.relays:
        return Part.RELAY
    if host.name in world.gone:
        return Part.GONE
    return Part.LEAVING if host.paths.unit in host.ours else Part.SCRIPTS


def of_part(world: World, wanted: Part) -> list[Host]:
    """Find the hosts of a part.

    Args:
        world: the world.
        wanted: the part.

    Returns:
        The hosts that answered and have it.
    """
    return [host for host in world.hosts.values() if part(world, host) is wanted]


def hands_over(world: World, host: Host) -> bool:
    """Whether a relay has to hand over: it leaves, and runs or has messages that it has not passed on."""
    return part(world, host) is Part.LEAVING and (host.running or bool(host.answers.waiting))


def takes_over(world: World, host: Host) -> bool:
    """Whether a relay of the group is chained to a leaving relay, which has to be chained to this one first."""
    return (
        part(world, host) is Part.RELAY
        and host.chained
        and "upstream" not in host.inventory.settings
        and bool(of_part(world, Part.LEAVING))
    )


def has_program(world: World, host: Host) -> bool:
    """Whether a host gets the commands."""
    return part(world, host) is Part.RELAY or host.inventory.commands


def is_leftover(world: World, host: Host) -> bool:
    """Whether the program is on a host that is to have none."""
    nobody_uses_it = part(world, host) in {Part.LEAVING, Part.SCRIPTS} and not has_program(world, host)
    return nobody_uses_it and bool(host.looked["releases"]["home"])


def leftovers(world: World, host: Host) -> list[str]:
    """Find the files of a program that is to go: all of the role but those of a relay, the config and the keys.

    Args:
        world: the world.
        host: of it.

    Returns:
        Their paths.
    """
    paths = host.paths
    stay = {*paths.service, paths.config, paths.keys, paths.web, paths.bridge, paths.bridge_settings}
    return [path for path in host.ours if path not in stay] if is_leftover(world, host) else []


def foreign_unit(world: World, host: Host) -> str:
    """Find the unit of a stock relay where ours is to run.

    Args:
        world: the world.
        host: of it.

    Returns:
        The path of the unit, or of the init script that it stands for; empty if there is none.
    """
    if part(world, host) is not Part.RELAY or not host.installed:
        return ""
    path = host.unit.get("SourcePath") or host.unit.get("FragmentPath", "")
    return "" if path in host.ours else path


def theirs(world: World, host: Host) -> list[str]:
    """Find files of others in the place of the role's, and a unit that the role's would hide.

    Args:
        world: the world.
        host: of it.

    Returns:
        Their paths.
    """
    replaced = [host.paths.config]
    if has_program(world, host):
        replaced += host.paths.commands
    if part(world, host) is Part.RELAY:
        replaced += [*host.paths.service, *([host.paths.web] if host.inventory.web else [])]
        replaced += [host.paths.bridge, host.paths.bridge_settings] if host.inventory.bridge else []
    found = {path for path in replaced if path in host.foreign} | {foreign_unit(world, host)}
    return sorted(found - {""})


def old_addresses(world: World, host: Host) -> dict[str, list[str]]:
    """Find addresses that the inventory no longer names. A relay of the group stays bound to them while they are used.

    Args:
        world: the world.
        host: of it.

    Returns:
        The addresses by endpoint. Addresses that another process has by now are left out.
    """
    if part(world, host) is not Part.RELAY:
        return {}
    held = [port for port, _, _ in held_ports(world, host)]
    return addresses.missing(host.bound, host.inventory.binds, held=held)


def is_readdressed(world: World, host: Host) -> bool:
    """Whether a running relay of the group gets an address that it does not have."""
    new = addresses.missing(host.inventory.binds, host.bound)
    return part(world, host) is Part.RELAY and bool(host.bound) and bool(new)


def held_ports(world: World, host: Host) -> list[tuple[str, str, str]]:
    """Find listening sockets that do not belong to the relay.

    The system may not name another user's process; if the relay runs, it is the relay's. systemd knows no process of a
    stock relay that an init script started.

    Args:
        world: the world.
        host: of it.

    Returns:
        For each its port, process and pid.
    """
    if host.pid:
        own = {str(host.pid), ""}
    elif host.processes and foreign_unit(world, host):
        own = {*host.processes, ""}
    else:
        own = set()
    return [one for one in host.listening if one[2] not in own]


def left_behind(world: World) -> list[str]:
    """Find the relays that configs name and that are neither in the group nor in this run.

    Args:
        world: the world.

    Returns:
        Their names as the configs have them.
    """
    return sorted(_all_named(world) - known_names(world) - set(world.asked))


def known_names(world: World) -> set[str]:
    """Find all names of the relays of the group, and of the hosts that answered.

    Args:
        world: the world.

    Returns:
        The names as configs may have them.
    """
    known = {*world.relays, *world.hosts}
    known |= {name for relay in world.relays for name in world.names.get(relay, {}).values()}
    known |= {name for host in world.hosts.values() for name in host.inventory.names.values()}
    known |= {name for host in world.hosts.values() for name in host.answers.names or ()}
    return known


def is_move(world: World) -> bool:
    """Whether peers may have to go elsewhere: a relay leaves, another is named, or an address changes."""
    group = {*world.relays, *(name for names in world.names.values() for name in names.values())}
    return bool(
        of_part(world, Part.LEAVING)
        or _all_named(world) - group
        or any(is_readdressed(world, host) for host in world.hosts.values())
    )


def begins_move(world: World) -> bool:
    """Whether this run changes which relays publish, or what configs name: more than to wait for a retirement."""
    settled = [host for host in of_part(world, Part.LEAVING) if has_handed_over(world, host)]
    known = {*world.relays, *(name for names in world.names.values() for name in names.values())}
    known |= {name for host in settled for name in (host.name, *host.inventory.names.values())}
    return bool(
        len(settled) < len(of_part(world, Part.LEAVING))
        or any(takes_over(world, host) or is_readdressed(world, host) for host in world.hosts.values())
        or _all_named(world) - known
    )


def has_handed_over(world: World, host: Host) -> bool:
    """Whether a relay that leaves runs chained to the relays of the group."""
    addresses_of = [address.rpartition(":")[0] for address in host.upstream.get("submit", ())]
    names = [world.name_of(relay, host.inventory.network) for relay in world.relays]
    return host.running and addresses_of == [f"tcp://{bracketed(name)}" for name in names]


def _all_named(world: World) -> set[str]:
    return set(_flat(host.named for host in world.hosts.values()))


def _flat(lists: Iterable[Iterable[str]]) -> list[str]:
    return [one for many in lists for one in many]
