"""The signers of messages, for the commands that show messages.

A certificate is in the message, so anybody may put one in: its name is a claim, until the signature has been verified.
"""

from __future__ import annotations

import argparse
import json
from functools import lru_cache
from typing import NamedTuple

from fedmsg_relay.commands.arguments import read_config
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.message import fault
from fedmsg_relay.trust.reasons import Reason


class Opinion(NamedTuple):
    """The verdict on a message now; it may have been another one when the message came.

    Attributes:
        signer: the name in its certificate, fit to be shown; None where there is no certificate that can be read.
        proven: whether that signer has signed it.
        verdict: ``valid``, or why it is not trusted, or why that cannot be told.
    """

    signer: str | None
    proven: bool = False
    verdict: str = ""


def claimed_signer(body: bytes | str) -> str | None:
    """Get the name of the signer that a message claims.

    Args:
        body: the second frame, or what was kept of it; text where a damaged journal holds that.

    Returns:
        The name, fit to be shown; None where there is no certificate that can be read.
    """
    if isinstance(body, str) or b'"certificate"' not in body:
        return None
    text = _certificate(body)
    return _name(text) if isinstance(text, str) else None


def opinion(topic: bytes, body: bytes, options: argparse.Namespace) -> Opinion:
    """Verify the signer of a message, by the files of this host.

    Args:
        topic: the first frame.
        body: the second frame.
        options: name the global config and relay.toml, or leave them at their usual places.
    """
    signer = claimed_signer(body)
    if signer is None:
        return Opinion(None)
    import msgspec  # noqa: PLC0415 -- only for a message that has a signer

    from fedmsg_relay.daemon import checks, screening, settings  # noqa: PLC0415

    try:
        chosen = settings.load(options.settings)
        trust = msgspec.structs.replace(chosen.trust, signatures=settings.Signatures.WARN)
        checked = checks.checks(read_config(options), trust, options.settings)
    except ConfigError as error:
        return Opinion(signer, verdict=f"not verified: {error}")
    if fault(topic, body, len(topic) + len(body)) is not None:  # the row is damaged
        return Opinion(signer, verdict="not verified: the message is damaged")
    judge = screening.judge_of(checked)
    verdict = judge.judge(topic, body)
    if verdict.reason is Reason.TRUST_UNUSABLE:
        return Opinion(signer, verdict=f"not verified: {screening.condition(checked, judge).fault}")
    return Opinion(signer, verdict.is_proven, str(verdict.reason or ("valid" if verdict.is_proven else "exempt")))


def _certificate(body: bytes) -> object:
    from fedmsg_relay.trust import huge  # noqa: PLC0415 -- not for messages without a certificate

    if huge.is_huge(body):
        parts = huge.take_apart(body)
        return None if parts is None else parts.certificate
    try:
        message = json.loads(body.decode())
    except (ValueError, RecursionError):  # what was kept of it is cut, or it is not well-formed
        return None
    return message.get("certificate") if isinstance(message, dict) else None


@lru_cache(maxsize=1024)
def _name(text: str) -> str | None:
    from fedmsg_relay.daemon.tally import shown  # noqa: PLC0415 -- not for messages without a certificate
    from fedmsg_relay.trust.signers import claimed  # noqa: PLC0415

    name = claimed(text)
    return None if name is None else shown(name)
