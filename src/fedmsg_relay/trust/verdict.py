"""The verdict on a message: nothing that stock refuses is accepted, and little is refused that stock accepts."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from fedmsg_relay.body import nesting
from fedmsg_relay.canonical import signed_part
from fedmsg_relay.trust import huge
from fedmsg_relay.trust.authority import Authority, Unusable
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.signers import Signer, Signers, claimed

MAX_NESTING = 490
"""Levels of a signed message. Stock copies a message before it validates it, and raises some levels beyond."""

PROBE_BYTES = 2048
"""Maximum bytes of a probe, which needs no signature; it has some 250."""

_PROVEN = (None, Reason.TOPIC_MISMATCH, Reason.NOT_PERMITTED, Reason.NO_POLICY)
_METHOD = padding.PKCS1v15(), hashes.SHA1()  # noqa: S303 -- stock's; a second message for a signature is out of reach


class Verdict(NamedTuple):
    """The verdict on a message: whether it is trusted, and its signer.

    Attributes:
        reason: why it is not trusted; None where it is, or needs no trust.
        signer: the CN of its certificate; None where it has none that can be read.
        breaks_listeners: whether a stock listener that validates does not refuse it but ends.
    """

    reason: Reason | None
    signer: str | None = None
    breaks_listeners: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether the signer has signed it; otherwise it is only named in the message."""
        return self.signer is not None and self.reason in _PROVEN


class _Read(NamedTuple):
    """A body as it was read.

    Attributes:
        message: its fields.
        too_deep: whether stock cannot copy it.
        content: what is signed, where that is not the canonical form of the fields.
    """

    message: dict[str, Any]
    too_deep: bool
    content: bytes | None = None


class Judge:
    """Reaches verdicts.

    Args:
        authority: the CA and its CRL.
        policy: which signer may send which topic; another may be put in its place at any time.
        clock: the time in seconds since the epoch.
    """

    def __init__(self, authority: Authority, policy: Policy, clock: Callable[[], float] = time.time) -> None:
        self.authority = authority
        self.policy = policy
        self._clock = clock
        self._signers = Signers()

    def judge(self, topic: bytes, body: bytes) -> Verdict:
        """Reach a verdict on a message.

        Args:
            topic: the first frame.
            body: the second frame. Both together must be well-formed (:func:`fedmsg_relay.message.examine`).

        Returns:
            The verdict.
        """
        frame = topic.decode()
        verdict = self._of_huge(body) if huge.is_huge(body) else None
        verdict = verdict or self._of_body(frame, body)
        if verdict.reason and not verdict.breaks_listeners and self.policy.needs_no_signature(frame):
            return self._of_exempt(frame, body, verdict)
        return verdict

    def _of_exempt(self, frame: str, body: bytes, verdict: Verdict) -> Verdict:
        """Judge a message that needs no signature: it must not pass for one of another topic."""
        if huge.is_huge(body) or (frame == self.policy.probe and len(body) > PROBE_BYTES):
            return verdict
        message = json.loads(body.decode())
        topic = message.get("topic") if isinstance(message, dict) else None
        return Verdict(Reason.TOPIC_MISMATCH if isinstance(topic, str) and topic != frame else None)

    def _of_huge(self, body: bytes) -> Verdict | None:
        """Say why a message of very many values is not even read; None where its signer is known."""
        parts = huge.take_apart(body)
        if parts is None:
            return Verdict(Reason.UNSIGNED, breaks_listeners=huge.may_break_listeners(body))
        stand_in = {"crypto": "x509", "signature": parts.signature, "certificate": parts.certificate}
        read = _Read(stand_in, nesting(body) > MAX_NESTING, parts.content)
        verdict = self._of_envelope("", read)
        return None if verdict.is_proven else verdict

    def _of_body(self, frame: str, body: bytes) -> Verdict:
        message = json.loads(body.decode())
        if not isinstance(message, dict):
            return Verdict(Reason.UNSIGNED, breaks_listeners=_stock_looks_into(message))
        # Each level has its bracket: mostly there are too few to look at the levels.
        may_be_deep = body.count(b"[") + body.count(b"{") > MAX_NESTING
        return self._of_envelope(frame, _Read(message, may_be_deep and _nests_too_deep(message)))

    def _of_envelope(self, frame: str, read: _Read) -> Verdict:
        message = read.message
        crypto = message.get("crypto", "x509")
        if crypto != "x509":
            return Verdict(Reason.CRYPTO_UNKNOWN, breaks_listeners=isinstance(crypto, (dict, list)))
        if "signature" not in message or "certificate" not in message:
            # Where `crypto` says that it is signed, stock looks at the one before it misses the other.
            breaks = "crypto" in message and not isinstance(message.get("signature", ""), str)
            return Verdict(Reason.UNSIGNED, breaks_listeners=breaks)
        signature = _decode(message["signature"])
        if signature is None:
            return Verdict(Reason.SIGNATURE_MALFORMED, breaks_listeners=True)
        return self._of_signed(frame, read, signature)

    def _of_signed(self, frame: str, read: _Read, signature: bytes) -> Verdict:
        text = read.message["certificate"]
        anchor = self.authority.current()
        if not isinstance(text, str):
            return Verdict(Reason.CERTIFICATE_MALFORMED, breaks_listeners=True)
        if isinstance(anchor, Unusable):
            name = claimed(text)
            if name is None:
                return Verdict(Reason.CERTIFICATE_MALFORMED, breaks_listeners=True)
            return Verdict(Reason.TRUST_UNUSABLE, name, breaks_listeners=read.too_deep)
        signer = self._signers.find(text, anchor)
        if signer.reason is Reason.CERTIFICATE_MALFORMED:
            return Verdict(Reason.CERTIFICATE_MALFORMED, breaks_listeners=True)
        if read.too_deep:
            return Verdict(Reason.SIGNATURE_INVALID, signer.name, breaks_listeners=True)
        fault = signer.reason or self._fault(frame, read, signature, signer)
        breaks = fault is Reason.NO_POLICY and isinstance(read.message.get("topic"), (dict, list))
        return Verdict(fault, signer.name, breaks)

    def _fault(self, frame: str, read: _Read, signature: bytes, signer: Signer) -> Reason | None:
        """Say what is wrong with a message whose certificate the CA has issued."""
        if not signer.start <= self._clock() < signer.end:
            return Reason.CERTIFICATE_EXPIRED
        if not _is_valid(read, signature, signer):
            return Reason.SIGNATURE_INVALID
        topic = read.message.get("topic")
        if isinstance(topic, str) and topic != frame:
            return Reason.TOPIC_MISMATCH
        return self.policy.fault(topic, signer.name)


def _is_valid(read: _Read, signature: bytes, signer: Signer) -> bool:
    if signer.key is None:
        return False
    content = signed_part(read.message) if read.content is None else read.content
    try:
        signer.key.verify(signature, content, *_METHOD)
    except InvalidSignature:
        return False
    return True


def _decode(field: object) -> bytes | None:
    """Decode base64 as stock does: other characters are passed over, and what follows the padding."""
    if not isinstance(field, str):
        return None
    try:
        return base64.b64decode(field)
    except ValueError:
        return None


def _stock_looks_into(body: object) -> bool:
    """Tell whether a stock listener treats a body as if it were an object, which ends it."""
    if isinstance(body, (str, list)):
        return "crypto" in body or ("signature" in body and "certificate" in body)
    return True


def _nests_too_deep(message: dict[str, Any]) -> bool:
    """Tell whether stock cannot copy a message."""
    level: list[Any] = [message]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
