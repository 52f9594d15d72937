"""Makes the global config of a host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedmsg_relay_plan.inventory import merged

STOCK = "/run/fedmsg"
OWN = "/run/fedmsg-relay"
SOCKET = "moksha.monitoring.socket"


@dataclass(frozen=True)
class Said:
    """What the inventory says for the global config of a host.

    Attributes:
        endpoints: the addresses of the relays by key of the global config.
        environment: ``fedmsg_relay_environment``.
        topic_prefix: ``fedmsg_relay_topic_prefix``.
        webs: URLs of the web processes.
        datagrepper: whether stock consumers find there what they missed.
        keys: where keys and certificates are, and what is done with them; empty without them.
        policy: the routing policy.
        nitpicky: whether a topic that the policy does not name is refused.
    """

    endpoints: Mapping[str, list[str]]
    environment: str
    topic_prefix: str
    webs: Sequence[str]
    datagrepper: bool
    keys: Mapping[str, Any]
    policy: Mapping[str, Any]
    nitpicky: bool


def global_config(extra: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Make the config, as a filter.

    Args:
        extra: ``fedmsg_relay_config_extra``, which overrules the rest. It does not have the addresses of the relays: a
            run refuses that.
        said: by the attributes of :class:`Said`.

    Returns:
        The config in the order of the file.
    """
    known = Said(**said)
    relays = known.endpoints
    found: dict[str, Any] = {
        "endpoints": {"relay_outbound": relays["relay_outbound"]},
        "relay_inbound": relays["relay_inbound"],
        "relay_submit": relays["relay_submit"],
    }
    if known.environment:
        found["environment"] = known.environment
    if known.topic_prefix:
        found["topic_prefix"] = known.topic_prefix
    if known.webs:
        found["relay_web"] = list(known.webs)
        if known.datagrepper:
            found["datagrepper_url"] = f"{known.webs[0]}/raw"
    policy = {"routing_policy": known.policy, "routing_nitpicky": known.nitpicky} if known.policy else {}
    return merged(found, known.keys, policy, extra)


def monitored(extra: Mapping[str, Any]) -> list[str]:
    """Find where the socket of stock's monitoring may be, as a filter.

    Args:
        extra: ``fedmsg_relay_config_extra``.

    Returns:
        The directory of stock's package, and that of the inventory.
    """
    found = re.match(r"ipc://(/[^ ]+)/[^/ ]+$", str(extra.get(SOCKET) or ""))
    return [STOCK, *([found[1]] if found and found[1] not in {STOCK, OWN} else [])]
