"""Tells what the hosts have achieved so far in a run. They judge each other by that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedmsg_relay_plan.inventory import Variables

Achieved = Mapping[str, Mapping[str, Any]]
"""For each host what it has achieved: ``ready`` to be relied on, ``carries`` messages, ``proved`` by itself, ``tried``
to change in a move, ``chained``, ``handed_over``; and why it has not, ``failure``."""


def achieved(plan: Mapping[str, Any], hostvars: Variables) -> dict[str, Any]:
    """Read what the relays have achieved, as a filter. That of other hosts concerns nobody.

    Args:
        plan: of the run.
        hostvars: Ansible's.

    Returns:
        It by host, of the relays of the group and of those that leave.
    """
    hosts = dict.fromkeys([*plan["relays"], *plan["leaving"]])
    return {host: hostvars[host].get("__fedmsg_relay_done") or {} for host in hosts}


def progress(done: Achieved, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Find the relays that have, and those that have not yet done their part, as a filter.

    Args:
        done: from :func:`achieved`.
        plan: of the run.

    Returns:
        Names of hosts. ``carries``: a message came through their relay. ``unready``, ``unproved``: relays of the group
        that are not ready to be relied on, and that have not passed a message by themselves. ``unchained``: relays that
        have to hand over and are not chained yet. ``failed``: the unproved, and those that have not handed over. And in
        ``why`` a sentence for each of these.
    """
    handing_over = [host for host in plan["leaving"] if "hand_over" in plan["hosts"][host]["steps"]]
    unproved = _without("proved", plan["relays"], done)
    failed = unproved + _without("handed_over", handing_over, done)
    return {
        "carries": [host for host, known in done.items() if "carries" in known],
        "unready": _without("ready", plan["relays"], done),
        "unproved": unproved,
        "unchained": _without("chained", handing_over, done),
        "failed": failed,
        "why": " ".join(f"{host}: {done[host].get('failure') or 'see above'}." for host in failed),
    }


def _without(what: str, hosts: Iterable[str], done: Achieved) -> list[str]:
    return sorted(host for host in hosts if what not in done[host])
