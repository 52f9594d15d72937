"""Tells people before a run what it changes on a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fedmsg_relay_plan import addresses
from fedmsg_relay_plan.bridge import bridges, is_bridged, stops_bridging
from fedmsg_relay_plan.keys import dropped, reads_policy
from fedmsg_relay_plan.parts import (
    Part,
    foreign_unit,
    hands_over,
    has_program,
    is_leftover,
    of_part,
    old_addresses,
    part,
    takes_over,
)
from fedmsg_relay_plan.web import is_served, serves, stops_serving
from fedmsg_relay_plan.world import Host, World

SPOOL = "fedmsg-relay-spool."


def changes(world: World, host: Host) -> list[str]:
    """Find what changes on a host.

    Args:
        world: the world.
        host: of it.

    Returns:
        Clauses whose subject is the host, in the order of the changes; none if the host is as it should be.
    """
    clauses = (clause(world, host) for clause in CLAUSES)
    return [clause for clause in clauses if clause]


def _program(world: World, host: Host) -> str:
    release = host.wanted.release
    wanted = has_program(world, host) or hands_over(world, host)
    if not wanted or host.looked["releases"]["current"] == release:
        return ""
    if not release:
        return "installs the program"
    complete = [path.rpartition("/")[2] for path in host.looked["releases"]["complete"]]
    name = release.rpartition("/")[2]
    return f"uses the program {name}" if name in complete else f"installs the program {name}"


def _keys(_: World, host: Host) -> str:
    return f"gets keys and certificates ({_files(host.keys.differ)})" if host.keys.differ else ""


def _policy(world: World, host: Host) -> str:
    return "lets its relay read the routing policy" if host.running and reads_policy(world, host) else ""


def _dropped(_: World, host: Host) -> str:
    lost = dropped(host)
    return f"loses keys and certificates that the inventory no longer names ({_files(lost)})" if lost else ""


def _files_of_others(_: World, host: Host) -> str:
    config = host.paths.config
    return f"keeps {config} of others as a file that is read before ours" if config in host.foreign else ""


def _relay(world: World, host: Host) -> str:
    if part(world, host) is not Part.RELAY:
        return ""
    unit = foreign_unit(world, host)
    possible = {
        f"runs our relay in place of {unit}": bool(unit),
        "gets a relay": host.paths.unit not in host.ours,
        f"takes over from {_names(of_part(world, Part.LEAVING))}": takes_over(world, host),
        "publishes by itself again": host.chained and "upstream" not in host.inventory.settings,
        "starts its relay": not host.running,
        "changes its relay to what the inventory says": _differs(world, host),
    }
    return next((clause for clause, is_so in possible.items() if is_so), "")


def _addresses(world: World, host: Host) -> str:
    old = old_addresses(world, host)
    return f"stays bound to {addresses.listed(old)} until that is unused" if old else ""


def _hand_over(world: World, host: Host) -> str:
    if not hands_over(world, host):
        return ""
    relays = ", ".join(world.relays)
    if not host.chained:
        return f"hands over to {relays}, stays chained until unused"
    return f"is chained, hands over to {relays}, is retired when it has been unused for {world.grace} s"


def _web(world: World, host: Host) -> str:
    if serves(world, host):
        return "" if is_served(host) else "serves its journal over HTTP"
    return "no longer serves its journal over HTTP" if stops_serving(world, host) else ""


def _bridge(world: World, host: Host) -> str:
    if bridges(world, host):
        return "" if is_bridged(host) else "bridges its journal to RabbitMQ"
    return "no longer bridges its journal to RabbitMQ, once that is sent" if stops_bridging(world, host) else ""


def _config(world: World, host: Host) -> str:
    if not host.is_behind:
        return ""
    if host.looked["config"]["error"]:
        return f"gets a config, as the present one cannot be executed: {host.looked['config']['error']}"
    names = [world.name_of(relay, host.inventory.network) for relay in world.relays]
    if list(host.named) == names:
        return "gets another config, with the same relay"
    before = f" instead of {', '.join(host.named)}" if host.named else ""
    return f"gets a config that names {', '.join(names)}{before}"


def _spool(world: World, host: Host) -> str:
    if not has_program(world, host):
        return ""
    units = [path for path in host.wanted.texts if SPOOL in path]
    well = not host.looked["spool"]["unready"] and all(_same(host, path) for path in units)
    return "" if well else "delivers its spool to the relay"


def _retire(world: World, host: Host) -> str:
    left = [path for path in host.paths.service if path in host.ours]
    if part(world, host) not in {Part.LEAVING, Part.SCRIPTS} or not left or hands_over(world, host):
        return ""
    return f"removes what is left of its relay: {', '.join(left)}"


def _leftover(world: World, host: Host) -> str:
    return "removes the program" if is_leftover(world, host) else ""


CLAUSES: tuple[Callable[[World, Host], str], ...] = (
    _program,
    _keys,
    _relay,
    _addresses,
    _hand_over,
    _bridge,
    _web,
    _files_of_others,
    _config,
    _policy,
    _dropped,
    _spool,
    _retire,
    _leftover,
)


def settings(world: World, host: Host) -> Mapping[str, Any]:
    """Give the settings of a relay of the group.

    Args:
        world: the world.
        host: the relay's.

    Returns:
        relay.toml as it has to be, with the old addresses.
    """
    bind = addresses.merged(host.inventory.binds, old_addresses(world, host))
    return {**host.inventory.settings, "bind": bind}


def _differs(world: World, host: Host) -> bool:
    wanted = settings(world, host)
    own = [path for path in host.paths.service if path in host.wanted.texts]
    return (
        host.settings != wanted
        or not all(_same(host, path) for path in own)
        or bool(host.status and addresses.missing(wanted["bind"], host.bound))
        or int(host.looked["written"]) > int(host.looked["service"]["started"])
        or host.unit.get("UnitFileState") != "enabled"
    )


def _same(host: Host, path: str) -> bool:
    return host.text(path) == host.wanted.texts[path]


def _files(paths: Iterable[str]) -> str:
    return ", ".join(sorted(path.rpartition("/")[2] for path in paths))


def _names(hosts: Iterable[Host]) -> str:
    return ", ".join(sorted(host.name for host in hosts))
