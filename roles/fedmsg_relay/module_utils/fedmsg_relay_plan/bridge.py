"""The bridges beside relays: which host has one, whether it is as it should be, and whether it has sent the journal."""

from __future__ import annotations

import json
from typing import Any

from fedmsg_relay_plan.parts import Part, part
from fedmsg_relay_plan.world import Host, World


def bridges(world: World, host: Host) -> bool:
    """Whether a host is to have a bridge. The new bridge sends what a leaving relay passes on."""
    return part(world, host) is Part.RELAY and host.inventory.bridge


def stops_bridging(world: World, host: Host) -> bool:
    """Whether a bridge is on a host that is to have none. It goes once it has sent the journal."""
    return not bridges(world, host) and part(world, host) is not Part.GONE and has_bridge(host)


def has_bridge(host: Host) -> bool:
    """Whether the role's bridge is on a host."""
    return host.paths.bridge in host.ours or host.paths.bridge_settings in host.ours


def is_bridged(host: Host) -> bool:
    """Whether the bridge runs from the program, the unit and the settings that it is to have.

    Args:
        host: it is to have the bridge.

    Returns:
        Whether it needs no change.
    """
    seen, unit = host.looked["bridge"], host.paths.bridge
    as_wanted = host.text(unit) == host.wanted.texts[unit] and not host.wanted.bridge_differs
    return as_wanted and seen["ready"] and not seen["outdated"]


def unsent(asked: str, told: str) -> str:
    """Say why a bridge cannot be removed without a loss, as a filter.

    Args:
        asked: what ``fedmsg-relay bridge status --json`` said at first.
        told: what it said last.

    Returns:
        A clause; empty if the bridge has sent everything that was in the journal at first.
    """
    first, last = _read(asked), _read(told)
    ends, forward = first.get("forward") or {}, last.get("forward") or {}
    if "journal_last" not in ends or "cursor" not in forward:
        return f"nobody knows what it has sent ({last.get('summary') or 'the program does not tell'})"
    if forward["cursor"] >= ends["journal_last"]:
        return ""
    return f"it has not sent {forward.get('waiting')} messages of the journal ({last.get('summary')})"


def _read(answer: str) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
