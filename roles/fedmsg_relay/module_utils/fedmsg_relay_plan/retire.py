"""Says why a relay that left, or an old address, cannot be retired yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedmsg_relay_plan import addresses
from fedmsg_relay_plan.addresses import Status


def relay_stays(status: Status, grace: int, unreached: Sequence[str], *, limited: bool, bridge: str = "") -> str:
    """Say why a relay that hands over stays.

    Args:
        status: the relay's status now; empty if it does not answer.
        grace: seconds for which it must have been unused.
        unreached: hosts that did not take part in the run.
        limited: whether the run is limited to a part of the hosts.
        bridge: why its bridge stays; empty if there is none.

    Returns:
        A clause; empty if it can be retired.
    """
    if bridge:
        return f"its bridge has to send its journal first: {bridge}"
    elsewhere = _elsewhere("it", unreached, limited=limited)
    if elsewhere:
        return elsewhere
    if not status.get("upstream"):
        return "it is not chained yet"
    peers = status["peers"]
    kinds = ("publisher", "submitter", "listener")
    users = [f"{kind} {peer}" for kind in kinds for peer in peers.get(f"{kind}s", ())]
    if users:
        return f"it is still used by {', '.join(users)}"
    if status["messages"]["waiting"]:
        return f"{status['messages']['waiting']} messages are not handed over yet"
    idle = peers["idle_seconds"]
    return f"it has been unused for {int(idle)} s, and is retired after {grace} s" if idle < grace else ""


def retirement(  # noqa: PLR0913 - a filter has no other way to say it
    status: Status,
    old: addresses.Addresses,
    wanted: Mapping[str, Any],
    grace: int,
    unreached: Sequence[str],
    *,
    limited: bool,
) -> dict[str, Any]:
    """Decide which old addresses of a relay are retired, as a filter.

    Args:
        status: the relay's status now; empty if it does not answer.
        old: the old addresses, by endpoint.
        wanted: as :func:`addresses_stay` takes it, like the rest.
        grace: seconds for which an address must have been unused.
        unreached: hosts that did not take part in the run.
        limited: whether the run is limited to a part of the hosts.

    Returns:
        ``retired`` are those that are, by endpoint, ``lingering`` the others in a sentence, and ``old_stay`` says why
        these stay.
    """
    stays = addresses_stay(status, wanted, unreached, limited=limited)
    retired = {} if stays else addresses.unused(old, status, grace)
    left = addresses.without(old, retired)
    why = f"They stay for now: {stays}" if stays else f"Each is retired when it has been unused for {grace} s"
    use = "; ".join(addresses.use(left, status))
    told = f"The relay here is bound to old addresses as well: {use}. {why}." if left else ""
    return {"retired": retired, "lingering": addresses.listed(left), "old_stay": told}


def addresses_stay(status: Status, wanted: Mapping[str, Any], unreached: Sequence[str], *, limited: bool) -> str:
    """Say why all old addresses of a relay stay.

    Args:
        status: the relay's status now; empty if it does not answer.
        wanted: what it is to be bound to, with the old addresses, by endpoint.
        unreached: hosts that did not take part in the run.
        limited: whether the run is limited to a part of the hosts.

    Returns:
        A clause; empty if those that are unused can be retired.
    """
    # A dry run has not restarted the relay.
    pending = "the relay has not been restarted with the new ones yet" if status.get("endpoints", {}) != wanted else ""
    return _elsewhere("them", unreached, limited=limited) or pending


def _elsewhere(what: str, unreached: Sequence[str], *, limited: bool) -> str:
    if limited:
        return f"this run is limited, and another host may still use {what}"
    return f"hosts that this run did not reach may still use {what}: {', '.join(unreached)}" if unreached else ""
