"""Refuses what would go wrong, before anything is changed. Each guard returns a sentence, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from fedmsg_relay_plan import addresses
from fedmsg_relay_plan.keys import enforced_early, keys_of_others, unknown_owner
from fedmsg_relay_plan.parts import (
    Part,
    begins_move,
    foreign_unit,
    held_ports,
    is_move,
    known_names,
    left_behind,
    of_part,
    old_addresses,
    part,
    theirs,
)
from fedmsg_relay_plan.questions import questions
from fedmsg_relay_plan.world import Host, World

STOCK = re.compile(r"argv\[\]=[^;]*fedmsg-relay[ ;]")
UNCHANGED = "Nothing was changed."


def refusal_of_host(world: World, host: Host) -> str:
    """Find out why a host cannot take part. The other hosts go on without it, except in a move.

    Args:
        world: the world.
        host: of it.

    Returns:
        A sentence; empty if it can.
    """
    if world.is_about_others:
        return ""
    return _ended(_first(guard(world, host) for guard in HOST_GUARDS))


def refusal_of_run(world: World) -> str:
    """Find out why no host can go on.

    Args:
        world: the world.

    Returns:
        A sentence; empty if they can.
    """
    if world.is_about_others:
        return ""
    every = (guard(world, host) for guard in FATAL_GUARDS for host in world.hosts.values())
    return _ended(_first(every) or _first(guard(world) for guard in RUN_GUARDS))


def files_of_others(world: World, host: Host) -> str:
    """Files that the role did not write are replaced only where the inventory says so."""
    found = theirs(world, host)
    if not found or host.inventory.adopt:
        return ""
    return (
        f"Not written by this role: {', '.join(found)}. If these are a stock relay, its config or its commands, and "
        "this role shall replace them, set fedmsg_relay_adopt: true (see docs/lifecycle.md). Otherwise "
        "remove them first."
    )


def not_a_relay(world: World, host: Host) -> str:
    """A unit that is to be replaced runs a stock relay."""
    unit, command = foreign_unit(world, host), host.unit.get("ExecStart", "")
    if not unit or STOCK.search(command):
        return ""
    return (
        f"fedmsg_relay_adopt is set, but {unit} does not start a stock fedmsg-relay: ExecStart={command}. "
        "Remove it first."
    )


def port_taken(world: World, host: Host) -> str:
    """No other process holds a port of the relay."""
    if part(world, host) is not Part.RELAY:
        return ""
    wanted = {address.rpartition(":")[2] for _, address in addresses.places(host.inventory.binds)}
    taken = [" ".join(one) for one in held_ports(world, host) if one[0] in wanted]
    if not taken:
        return ""
    return (
        f"On {host.name} another process holds a port that the relay needs: {', '.join(taken)} (port, process, pid). "
        "Stop it, or choose other ports."
    )


def port_changes_hands(world: World, host: Host) -> str:
    """No old address becomes another endpoint's."""
    clashes = addresses.clashes(old_addresses(world, host), host.inventory.binds)
    if not clashes:
        return ""
    return (
        f"On {host.name} {'; '.join(clashes)}. One port cannot serve both. Choose a port that the relay does not use; "
        "an old port is free after a run has retired it."
    )


def unknown_relay(world: World, host: Host) -> str:
    """No relay of others runs outside the group."""
    if part(world, host) not in {Part.SCRIPTS, Part.LEAVING}:
        return ""
    own = {str(host.pid)} if part(world, host) is Part.LEAVING else set()
    strangers = sorted(set(host.processes) - own)
    if not strangers:
        return ""
    return (
        f"A relay runs on {host.name} (pid {', '.join(strangers)}) that this role did not install, and the host is "
        f"not in the group {world.group}. Put the host into the group first, so that the role adopts the relay, or "
        "stop the relay."
    )


def absent(world: World) -> str:
    """A move takes all hosts with it that are not tolerated to be away."""
    refused = [name for name, host in world.hosts.items() if refusal_of_host(world, host)]
    missing = sorted({*world.silent, *refused} - (world.tolerated - {*world.relays}))
    if not missing or not begins_move(world):
        return ""
    if lost := [name for name in missing if name in world.relays]:
        return (
            f"{', '.join(lost)} of the group {world.group} could not be reached, or was refused above, and this is a "
            "move. A relay of the group takes part in a move: bring it back, or take it out of the group."
        )
    return (
        f"{', '.join(missing)} could not be reached, or was refused above, and this is a move. "
        "To move without hosts that do not answer, run with -e "
        f"'{json.dumps({'fedmsg_relay_tolerate_unreachable': missing})}', or give it a number or a share. "
        "Such hosts keep their old config until a run reaches them."
    )


def part_of_a_move(world: World) -> str:
    """A move takes all its steps."""
    if not world.tags or not begins_move(world):
        return ""
    return (
        f"This is a move, and --tags {','.join(sorted(world.tags))} takes only a part of its steps: run again without "
        "--tags."
    )


def no_destination(world: World) -> str:
    """A move has its new relays in the run."""
    if world.tags or not world.left_out or not is_move(world):
        return ""
    return (
        f"This is a move to {', '.join(world.left_out)}, which is not in this run (--limit, or not in the group "
        "fedmsg): run again without --limit."
    )


def relay_left_behind(world: World) -> str:
    """No config names a relay that this run does not move."""
    lost = [name for name in left_behind(world) if name not in world.gone]
    if not lost or any(asked.names for asked in questions(world).values()):
        return ""
    witnesses = [name for name, host in world.hosts.items() if lost[0] in host.named]
    what = (
        ": run again without --limit."
        if lost[0] in world.inventory
        else " nor in the inventory: put it back (a relay host stays in the group fedmsg until a run has retired it)."
    )
    return (
        f"{', '.join(lost)} is named as the relay by the config of {', '.join(witnesses)} and is not in this run{what} "
        f"If that relay will never run again, run with -e '{json.dumps({'fedmsg_relay_gone': lost[:1]})}'."
    )


def upstream_left_behind(world: World) -> str:
    """No relay of the group is released from an upstream that this run does not chain to it first."""
    for host in of_part(world, Part.RELAY):
        lost = [name for name in host.upstreams if name not in known_names(world) | world.gone | world.tolerated]
        if lost and "upstream" not in host.inventory.settings:
            return (
                f"The relay on {host.name} is chained to {', '.join(lost)}, which is not in this run or does not "
                "answer: run again without --limit, or bring it back. If that relay will never run again, run with -e "
                f"'{json.dumps({'fedmsg_relay_gone': lost})}'."
            )
    return ""


def relay_out_of_sight(world: World) -> str:
    """No relay outside the run hands over to one of the group."""
    for host in world.hosts.values():
        if host.answers.peers:
            return (
                f"A relay at {', '.join(host.answers.peers)} hands over to the relay on {host.name}, and no host of "
                "this run has that address. Put the host back into the inventory (a relay host stays in the group "
                "fedmsg until a run has retired it). If that relay does not belong to this inventory, run with -e "
                f"'{json.dumps({'fedmsg_relay_gone': list(host.answers.peers[:1])})}'."
            )
    return ""


HOST_GUARDS: tuple[Callable[[World, Host], str], ...] = (files_of_others, not_a_relay)
"""These stop one host."""

FATAL_GUARDS: tuple[Callable[[World, Host], str], ...] = (
    port_taken,
    port_changes_hands,
    unknown_relay,
    enforced_early,
    unknown_owner,
    keys_of_others,
)
"""These are looked at for each host and stop all."""

RUN_GUARDS: tuple[Callable[[World], str], ...] = (
    absent,
    part_of_a_move,
    no_destination,
    relay_left_behind,
    upstream_left_behind,
    relay_out_of_sight,
)
"""These stop all."""


def _first(sentences: Iterable[str]) -> str:
    return next((sentence for sentence in sentences if sentence), "")


def _ended(sentence: str) -> str:
    return f"{sentence} {UNCHANGED}" if sentence else ""
