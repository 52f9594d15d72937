"""Refuses keys, certificates and settings that would make messages invalid.

Each check returns a sentence, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Signing:
    """What the inventory says about signatures, and what is wrong with the files of the controller.

    Attributes:
        host: the host.
        faults: sentences about its certificates.
        policy: the routing policy.
        environment: ``fedmsg_relay_environment``.
        topic_prefix: ``fedmsg_relay_topic_prefix``.
        settings: ``fedmsg_relay_settings``.
        has_keys: whether it gets a CA and a CRL.
        relay: whether it is a relay's.
        signatures: what a relay does about signatures: ``off``, ``warn`` or ``enforce``.
        unsigned: hosts where scripts publish and do not sign.
    """

    host: str
    faults: Sequence[str] = ()
    policy: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    topic_prefix: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_keys: bool = False
    relay: bool = False
    signatures: str = "off"
    unsigned: Sequence[str] = ()


def fault_of(said: Mapping[str, Any]) -> str:
    """Find a fault, as a filter.

    Args:
        said: by the attributes of :class:`Signing`.

    Returns:
        A sentence; empty if there is none.
    """
    signing = Signing(**said)
    found = next(filter(None, (check(signing) for check in CHECKS)), "")
    return f"{found} Nothing was changed." if found else ""


def _bad_certificates(signing: Signing) -> str:
    return " ".join(signing.faults)


def _unknown_topics(signing: Signing) -> str:
    if not signing.policy or (signing.environment and signing.topic_prefix):
        return ""
    return (
        f"The routing policy has whole topics, and {signing.host} does not know how they begin: set "
        "fedmsg_relay_environment and fedmsg_relay_topic_prefix (the inventory has can_send or "
        "fedmsg_relay_policy_extra)."
    )


def _said_twice(signing: Signing) -> str:
    if "signatures" not in signing.settings.get("trust", {}):
        return ""
    return "fedmsg_relay_settings has trust.signatures, which comes from fedmsg_relay_trust: remove it."


def _no_ca(signing: Signing) -> str:
    if not signing.relay or signing.signatures == "off" or signing.has_keys:
        return ""
    return (
        f"fedmsg_relay_trust is {signing.signatures} on {signing.host}, which gets neither a CA nor a CRL: set "
        "fedmsg_relay_certs_from."
    )


def _refused_hosts(signing: Signing) -> str:
    if not signing.relay or signing.signatures != "enforce" or not signing.unsigned:
        return ""
    return (
        f"fedmsg_relay_trust is enforce on {signing.host}, which would refuse all messages of "
        f"{', '.join(signing.unsigned)}: set fedmsg_relay_sign there, or fedmsg_relay_needs to [outbound] where "
        "nobody publishes."
    )


CHECKS: tuple[Callable[[Signing], str], ...] = (
    _bad_certificates,
    _unknown_topics,
    _said_twice,
    _no_ca,
    _refused_hosts,
)
