"""Decides what has to be asked before a run can be planned. Only some worlds make it matter."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fedmsg_relay_plan.parts import Part, left_behind, of_part, part
from fedmsg_relay_plan.world import World

EVERYBODY = re.compile(r"localhost|127[.]|::1$")
"""The names that each host gives itself."""


@dataclass(frozen=True)
class Question:
    """What is asked of one host.

    Attributes:
        names: names that may be its own.
        peers: addresses where a relay may answer.
        waiting: whether it is to count the messages that its stopped relay has not passed on.
    """

    names: list[str]
    peers: list[str]
    waiting: bool


def questions(world: World) -> dict[str, Question]:
    """Find what is to be asked of which host.

    Args:
        world: the world. Hosts that have been asked have their answers.

    Returns:
        The questions by host, of those that are asked something.
    """
    names, peers = _names(world), _peers(world)
    stopped = [host.name for host in of_part(world, Part.LEAVING) if not host.running and host.answers.waiting is None]
    return {
        name: Question(names.get(name, []), peers.get(name, []), name in stopped)
        for name in world.hosts
        if name in {*names, *peers, *stopped}
    }


def _names(world: World) -> dict[str, list[str]]:
    """A config may name a relay by a previous address of the inventory."""
    names = [name for name in left_behind(world) if not EVERYBODY.match(name)]
    return {
        host.name: names
        for host in world.hosts.values()
        if names
        and host.answers.names is None
        and part(world, host) in {Part.RELAY, Part.LEAVING}
        and host.looked["releases"]["current"]
    }


def _peers(world: World) -> dict[str, list[str]]:
    """A relay of a host that was deleted from the inventory too soon may still hand over to a relay here."""
    if world.limited or world.tags or world.silent:
        return {}
    known = world.gone | {address for host in world.hosts.values() for address in host.looked["addresses"]}
    found = {
        host.name: [peer for peer in host.chained_peers if peer not in known]
        for host in of_part(world, Part.RELAY)
        if host.answers.peers is None
    }
    return {host: peers for host, peers in found.items() if peers}
