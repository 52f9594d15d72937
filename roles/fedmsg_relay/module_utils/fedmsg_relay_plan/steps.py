"""The steps of a run, and which of them each host takes."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from fedmsg_relay_plan import tags
from fedmsg_relay_plan.bridge import bridges, has_bridge, stops_bridging
from fedmsg_relay_plan.keys import dropped, reads_policy
from fedmsg_relay_plan.parts import Part, hands_over, has_program, is_leftover, old_addresses, part, takes_over
from fedmsg_relay_plan.web import serves, stops_serving
from fedmsg_relay_plan.world import Host, World


class Step(StrEnum):
    """The steps in their order. All hosts take one before any host takes the next."""

    INSTALL = "install"
    """Installs the program beside the one in use."""

    INSTALL_WEB = "install_web"
    """Adds what the web process needs."""

    INSTALL_BRIDGE = "install_bridge"
    """Adds what the bridge needs, also where it still has to send the journal before it goes."""

    BRING_KEYS = "bring_keys"
    """Brings keys and certificates, before a config names them and before a relay needs them."""

    REPLACE = "replace"
    """Runs the relay and proves it, one relay after the other. A relay that takes over later is only proved."""

    RELY = "rely"
    """Goes on only if all relays have passed a message. Where there is no relay, puts the program into use."""

    REACH = "reach"
    """Goes on only if the host reaches the relays."""

    INSTALL_LATER = "install_later"
    """Installs the program where the relay leaves: up to here nothing has changed on that host."""

    INSTALL_BRIDGE_LATER = "install_bridge_later"
    """Adds what the bridge needs where the relay leaves: it may start once more before it has sent the journal."""

    USE = "use"
    """Puts the program into use where no relay remains."""

    CHAIN = "chain"
    """Chains the relay to those of the group."""

    CHAIN_LAST = "chain_last"
    """Likewise for a relay that is chained already: until now messages of its upstream are heard here."""

    TAKE_OVER = "take_over"
    """Runs the relay by itself, now that the one it was chained to is chained to it."""

    HAND_OVER = "hand_over"
    """Sees that what goes in at the leaving relay comes out at those of the group."""

    STOP_BRIDGING = "stop_bridging"
    """Removes the bridge where it is no longer wanted, once it has sent the journal."""

    BRIDGE = "bridge"
    """Runs the bridge beside the relay, after that of a relay that leaves was stopped."""

    SERVE = "serve"
    """Runs the web process beside the relay, before a config names it."""

    POINT_RELAY = "point_relay"
    """Writes the global config of a relay's host."""

    READ_POLICY = "read_policy"
    """Lets the relay read the routing policy, before another host signs with a new certificate."""

    POINT = "point"
    """Writes the global config of every other host."""

    STOP_SERVING = "stop_serving"
    """Removes the web process where it is no longer wanted, now that no config names it."""

    DROP_KEYS = "drop_keys"
    """Removes keys and certificates that the inventory no longer names, now that no config names them."""

    DELIVER = "deliver"
    """Delivers what waits on this host for a relay."""

    RETIRE = "retire"
    """Removes a relay that left, once it is unused."""

    REMOVE_PROGRAM = "remove_program"
    """Removes the program from a host that is to have none."""

    RETIRE_ADDRESSES = "retire_addresses"
    """Retires the unused ones of the old addresses, one relay after the other."""

    SERVE_AGAIN = "serve_again"
    """Restarts the web process where that has changed the settings."""

    PRUNE = "prune"
    """Removes releases that nobody uses."""

    COUNT = "count"
    """Sees that the relays are where the inventory says."""


def steps(world: World, host: Host) -> list[Step]:
    """Find the steps of a host.

    Args:
        world: the world.
        host: of it.

    Returns:
        The steps in their order.
    """
    return [step for step in Step if TAKES[step](world, host) and _is_tagged(world, host, step)]


def _is_tagged(world: World, host: Host, step: Step) -> bool:
    """Whether the tags of the run include a step."""
    own = part(world, host)
    return not world.tags or any(own in TAGGED[tag][0] and step in TAGGED[tag][1] for tag in world.tags)


def _is_relay(world: World, host: Host) -> bool:
    return part(world, host) is Part.RELAY


def _is_leaving(world: World, host: Host) -> bool:
    return part(world, host) is Part.LEAVING


TAKES: dict[Step, Callable[[World, Host], bool]] = {
    Step.INSTALL: lambda world, host: has_program(world, host) and not _is_leaving(world, host),
    Step.INSTALL_WEB: serves,
    Step.INSTALL_BRIDGE: lambda world, host: _is_relay(world, host) and (bridges(world, host) or has_bridge(host)),
    Step.BRING_KEYS: lambda world, host: bool(host.keys.differ),  # noqa: ARG005
    Step.REPLACE: _is_relay,
    Step.RELY: lambda world, host: True,  # noqa: ARG005
    # A host whose relay hands over has proved more than that.
    Step.REACH: lambda world, host: not hands_over(world, host),
    Step.INSTALL_LATER: lambda world, host: (
        _is_leaving(world, host) and (has_program(world, host) or hands_over(world, host))
    ),
    Step.INSTALL_BRIDGE_LATER: lambda world, host: has_bridge(host) and TAKES[Step.INSTALL_LATER](world, host),
    Step.USE: lambda world, host: _is_leaving(world, host) and has_program(world, host) and not hands_over(world, host),
    Step.CHAIN: lambda world, host: hands_over(world, host) and not host.chained,
    Step.CHAIN_LAST: lambda world, host: hands_over(world, host) and host.chained,
    Step.TAKE_OVER: takes_over,
    Step.HAND_OVER: hands_over,
    Step.STOP_BRIDGING: stops_bridging,
    Step.BRIDGE: bridges,
    Step.SERVE: serves,
    Step.POINT_RELAY: _is_relay,
    Step.READ_POLICY: reads_policy,
    Step.POINT: lambda world, host: not _is_relay(world, host),
    Step.STOP_SERVING: stops_serving,
    Step.DROP_KEYS: lambda world, host: bool(dropped(host)),  # noqa: ARG005
    Step.DELIVER: has_program,
    Step.RETIRE: lambda world, host: (
        part(world, host) in {Part.LEAVING, Part.SCRIPTS} and any(path in host.ours for path in host.paths.service)
    ),
    Step.REMOVE_PROGRAM: is_leftover,
    Step.RETIRE_ADDRESSES: lambda world, host: bool(old_addresses(world, host)),
    Step.SERVE_AGAIN: lambda world, host: serves(world, host) and bool(old_addresses(world, host)),
    Step.PRUNE: has_program,
    Step.COUNT: lambda world, host: True,  # noqa: ARG005
}

TAGGED: dict[str, tuple[frozenset[Part], frozenset[Step]]] = {
    tags.PROGRAM: (
        frozenset(Part),
        frozenset({Step.INSTALL, Step.INSTALL_WEB, Step.INSTALL_BRIDGE, Step.INSTALL_LATER, Step.INSTALL_BRIDGE_LATER}),
    ),
    tags.KEYS: (frozenset(Part), frozenset({Step.BRING_KEYS})),
    tags.RELAY: (
        frozenset({Part.RELAY}),
        frozenset(
            {
                *(Step.INSTALL, Step.INSTALL_WEB, Step.INSTALL_BRIDGE, Step.BRING_KEYS, Step.REPLACE),
                *(Step.STOP_BRIDGING, Step.BRIDGE, Step.SERVE, Step.PRUNE, Step.COUNT),
            },
        ),
    ),
    tags.SCRIPTS: (
        frozenset({Part.SCRIPTS}),
        frozenset({Step.INSTALL, Step.RELY, Step.REACH, Step.POINT, Step.DELIVER, Step.PRUNE}),
    ),
}
"""The parts and the steps that a tag takes."""
