"""A judge of signatures with a CA of its own, and a signer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from certificates import NOW, TOPIC, Pair, TestCa
from fedmsg_relay.message import fault
from fedmsg_relay.trust.authority import Authority
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.verdict import Judge, Verdict


class Court(NamedTuple):
    """A judge, the CA that it trusts, and a signer.

    Attributes:
        judge: judges messages; its policy permits everything.
        ca: its CA, which has revoked the certificate 77.
        signer: has a certificate of the CA.
        now: the time of the judge's clock, as its only item.
    """

    judge: Judge
    ca: TestCa
    signer: Pair
    now: list[float]

    @classmethod
    def at(cls, directory: Path) -> Court:
        """Open a court whose CA has its files in a directory."""
        ca = TestCa()
        now = [NOW.timestamp()]
        paths = ca.write(directory, 77)
        return cls(Judge(Authority(*paths, lambda: now[0]), Policy({}), lambda: now[0]), ca, ca.issue(), now)

    def of(self, body: bytes, topic: str = TOPIC) -> Verdict:
        """Get the verdict on a well-formed message."""
        assert fault(topic.encode(), body) is None
        return self.judge.judge(topic.encode(), body)
