"""The routing policy of the global config: which signer may send which topic, and which topics need no signature."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from fedmsg_relay.config import sources
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.trust.reasons import Reason


class Policy(NamedTuple):
    """The policy: which signer may send which topic.

    Attributes:
        permitted: for a topic, the CNs of the signers that may send it.
        nitpicky: whether a topic that is not listed is refused.
        exempt: beginnings of topics that need no signature.
        probe: the topic of the relay's own probe, which is never signed.
    """

    permitted: Mapping[str, Collection[str]]
    nitpicky: bool = False
    exempt: tuple[str, ...] = ()
    probe: str = ""

    def fault(self, topic: object, signer: str) -> Reason | None:
        """Say why a signer may not send a topic.

        Args:
            topic: what stands for it in the body.
            signer: the CN of the certificate.

        Returns:
            The reason, or None.
        """
        if not isinstance(topic, str):
            return Reason.NO_POLICY
        signers = self.permitted.get(topic)
        if signers is None:
            return Reason.NO_POLICY if self.nitpicky else None
        return None if signer in signers else Reason.NOT_PERMITTED

    def needs_no_signature(self, topic: str) -> bool:
        """Tell whether a topic is exempt.

        Args:
            topic: the first frame of the message.
        """
        return topic.startswith(self.exempt) or (topic == self.probe != "")


def policy(config: Mapping[str, Any], exempt: Sequence[str] = ()) -> Policy:
    """Read the policy of the global config.

    Args:
        config: the merged global config.
        exempt: beginnings of topics that need no signature.

    Returns:
        The policy.

    Raises:
        ConfigError: it cannot be used, or no message signed with x509 would be valid under it.
    """
    read = f"(read: {sources(config)})"
    backends = config.get("crypto_validate_backends") or [config.get("crypto_backend") or "x509"]
    if not isinstance(backends, (list, tuple, set)) or "x509" not in backends:
        raise ConfigError(
            "global config: crypto_validate_backends (or crypto_backend without it) must allow 'x509'; "
            f"it is {backends!r} {read}"
        )
    routing = config.get("routing_policy", {})
    if not isinstance(routing, dict):
        raise ConfigError(f"global config: routing_policy must be a dict; it is {routing!r} {read}")
    for topic, signers in routing.items():
        if not isinstance(signers, (list, tuple, set, frozenset)):
            raise ConfigError(
                f"global config: routing_policy[{topic!r}] must be a list of certificates' names; "
                f"it is {signers!r} {read}"
            )
    return Policy(
        {topic: frozenset(filter(_is_text, signers)) for topic, signers in routing.items()},
        bool(config.get("routing_nitpicky", False)),
        tuple(exempt),
        probe_topic(config),
    )


def probe_topic(config: Mapping[str, Any]) -> str:
    """Get the topic of the relay's own probe.

    Args:
        config: the merged global config.
    """
    return f"{config['topic_prefix']}.{config['environment']}.relay.probe"


def _is_text(name: object) -> bool:
    return isinstance(name, str)
