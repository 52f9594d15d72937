"""Says where a move stands, for people who look between two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedmsg_relay_plan import addresses
from fedmsg_relay_plan.parts import old_addresses
from fedmsg_relay_plan.world import World

LATER = "run again when that is repaired"
RUN = "The next run of playbooks/relay.yml"


def standing(world: World) -> str:
    """Say where a move stands.

    Args:
        world: the world.

    Returns:
        One or more sentences.
    """
    told = _move(world) + [
        f"{host.name} is also bound to {addresses.listed(old)}, which the inventory no longer names. "
        f"{RUN} retires the unused ones."
        for host in world.hosts.values()
        if (old := old_addresses(world, host))
    ]
    return " ".join(told) or "No move is under way."


def outcome(
    relays: Sequence[str], achieved: Mapping[str, Mapping[str, Any]], unreached: Sequence[str], gone: Sequence[str]
) -> str:
    """Say where the relays are at the end of a run, as a filter.

    Args:
        relays: those of the group that took part.
        achieved: by host what it told in the run: ``stays`` says why a relay that left does, ``lingering`` which old
            addresses it is still bound to.
        unreached: hosts that took no part.
        gone: relays that were left alone.

    Returns:
        One or more sentences.
    """
    staying = ", ".join(name for name, done in achieved.items() if done.get("stays"))
    lingering = "; ".join(f"{name} {done['lingering']}" for name, done in achieved.items() if done.get("lingering"))
    hands_over = f"; {staying} hands over, and is retired by a run that finds it unused" if staying else ""
    told = [f"Relays: {', '.join(relays)}{hands_over}."]
    told += [f"Also bound until a run finds it unused: {lingering}."] if lingering else []
    told += [f"Left out (no answer, or failed above): {', '.join(unreached)}; {LATER}."] if unreached else []
    told += [f"Left alone (fedmsg_relay_gone): {', '.join(gone)}."] if gone else []
    return " ".join(told)


def _move(world: World) -> list[str]:
    behind = ", ".join(name for name, host in world.hosts.items() if host.is_behind)
    outside = [host for host in world.hosts.values() if host.name not in world.relays and host.installed]
    if not outside:
        return [f"These configs differ from the inventory: {behind}. Run playbooks/relay.yml."] if behind else []
    apart = any(host.running and not host.upstream for host in outside)
    hands_over = "has not handed over yet" if apart else f"hands over to {', '.join(world.relays)}"
    configs = f"; these configs do not name the new relay yet: {behind}" if behind else ""
    return [
        f"{', '.join(host.name for host in outside)} is out of the group {world.group} and {hands_over}{configs}. "
        f"{RUN} {'continues the move' if apart or behind else 'retires it once it is unused'}."
    ]
