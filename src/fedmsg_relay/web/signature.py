"""The state of a message's signature, for people: as the trust of this relay sees it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from fedmsg_relay.daemon.settings import Trust
from fedmsg_relay.trust.authority import Authority
from fedmsg_relay.trust.policy import policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge
from fedmsg_relay.web import limits


class State(NamedTuple):
    """What is to be thought of a signature.

    Attributes:
        valid: True, False, or None where nothing is known.
        text: the same in words.
        signer: the signer of the message, if that is proven.
    """

    valid: bool | None
    text: str
    signer: str | None = None


class Signatures:
    """Checks signatures against the CA of the config.

    Args:
        config: the merged global config.
        trust: of relay.toml.
    """

    def __init__(self, config: Mapping[str, Any], trust: Trust) -> None:
        ca = trust.ca if trust.ca is not None else config.get("ca_cert_location")
        crl = trust.crl if trust.crl is not None else config.get("crl_location")
        self._lock = threading.Lock()
        self._judge = Judge(Authority(str(ca), str(crl or "")), policy(config, trust.exempt)) if ca else None

    def state(self, topic: bytes, body: bytes) -> State:
        """Check the signature of a message.

        Args:
            topic: first frame.
            body: second frame.
        """
        if len(body) > limits.SHOWN_BYTES:
            return State(None, "not checked: the message is too large for this page")
        if self._judge is None:
            return State(None, "not checked: the config names no CA (ca_cert_location)")
        with self._lock:
            verdict = self._judge.judge(topic, body)
        if verdict.reason is None:
            return State(True, f"valid, by {verdict.signer}" if verdict.signer else "needs none", verdict.signer)
        if verdict.reason is Reason.UNSIGNED:
            return State(None, "none: the message is not signed")
        if verdict.reason is Reason.TRUST_UNUSABLE:
            return State(None, "not checked: the CA or its CRL cannot be used")
        named = f", names {verdict.signer}" if verdict.signer else ""
        return State(False, f"not trusted: {verdict.reason}{named}", verdict.signer if verdict.is_proven else None)
