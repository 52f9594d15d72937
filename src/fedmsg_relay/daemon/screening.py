"""The screening of messages: what admission does about their signatures, and the CA and CRL that it needs for that.

While nothing is to be checked, nothing is loaded for it: neither files nor the library for signatures.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from fedmsg_relay.daemon.checks import Checks
from fedmsg_relay.daemon.settings import Signatures
from fedmsg_relay.daemon.tally import Tally, shown
from fedmsg_relay.errors import printable
from fedmsg_relay.runtime.dates import until
from fedmsg_relay.runtime.drops import DropLog
from fedmsg_relay.runtime.log import log
from fedmsg_relay.trust.reasons import Reason

if TYPE_CHECKING:
    from fedmsg_relay.trust.authority import Anchor, Unusable
    from fedmsg_relay.trust.verdict import Judge

LOOK_SECONDS = 1.0
"""Time between two looks at CA and CRL, also where no message comes."""


class Ruling(NamedTuple):
    """The ruling on a message: whether it is taken, and its signer.

    Attributes:
        reason: why it is not taken, or None.
        distrusted: why it is not trusted, or None; a relay that only warns takes it nevertheless.
        signer: the CN of its certificate, or None; fit to be shown.
        is_proven: whether that signer has signed it.
        comes_once: whether the same message again is a replay.
    """

    reason: Reason | None
    distrusted: Reason | None = None
    signer: str | None = None
    is_proven: bool = False
    comes_once: bool = False


class FileState(NamedTuple):
    """A file that signatures are checked against.

    Attributes:
        path: of the file.
        end: until when it is valid, in seconds since the epoch; None where that is not known, or it has no end.
        ends_soon: whether that is worth a warning.
    """

    path: str
    end: float | None = None
    ends_soon: bool = False


class Condition(NamedTuple):
    """How the checks stand.

    Attributes:
        signatures: what is done about signatures.
        fault: why nothing can be checked; empty where it can.
        ca: the CA's certificate; None where nothing is checked.
        crl: the CRL; None where there is none.
    """

    signatures: Signatures
    fault: str = ""
    ca: FileState | None = None
    crl: FileState | None = None


class Screening:
    """Decides what becomes of messages by their signatures.

    Args:
        checks: what is done about signatures; replaced by :meth:`use`.

    Attributes:
        tally: the signers, and the messages that were not trusted.
        condition: how the checks stand; replaced as a whole, so that any thread may read it.
    """

    def __init__(self, checks: Checks) -> None:
        self.tally = Tally()
        self.condition = Condition(Signatures.OFF)
        self._checks = Checks()
        self._judge: Judge | None = None
        self._seen: Anchor | Unusable | None = None
        self._next_look = 0.0
        self._passed = DropLog("warning of %d %s: %s (last from %s)")
        self.use(checks)

    def use(self, checks: Checks) -> None:
        """Check like this from now on.

        Args:
            checks: what is done about signatures.
        """
        previous, self._checks = self._checks, checks
        if checks.signatures is Signatures.OFF:
            self._judge = self._seen = None
            self.condition = Condition(Signatures.OFF)
            return
        if self._judge is None or (checks.ca, checks.crl) != (previous.ca, previous.crl):
            self._judge = judge_of(checks)
            self._seen = None
        self._judge.policy = checks.policy
        self._look(self._judge)

    @property
    def is_on(self) -> bool:
        """Whether signatures are looked at."""
        return self._judge is not None

    @property
    def probe(self) -> bytes:
        """Topic of the relay's own probe, which may come unsigned and from everywhere: it says nothing."""
        return self._checks.policy.probe.encode()

    def update(self) -> None:
        """Look at the files, if that is due, and log what has changed about them."""
        if self._judge is not None and time.monotonic() >= self._next_look:
            self._look(self._judge)

    def rule(self, topic: bytes, body: bytes) -> Ruling | None:
        """Decide what becomes of a well-formed message.

        Args:
            topic: the first frame.
            body: the second frame.

        Returns:
            The ruling; None where signatures are off.
        """
        if self._judge is None:
            return None
        verdict = self._judge.judge(topic, body)
        enforce = self._checks.signatures is Signatures.ENFORCE
        signer = None if verdict.signer is None else shown(verdict.signer)
        kept_out = verdict.reason is not None and (enforce or verdict.breaks_listeners)
        proven = verdict.is_proven
        return Ruling(verdict.reason if kept_out else None, verdict.reason, signer, proven, enforce and proven)

    def note(self, ruling: Ruling, source: str) -> None:
        """Count a message, and log it where it is taken although it is not trusted.

        Args:
            ruling: from :meth:`rule`.
            source: IP address of its publisher.
        """
        if ruling.distrusted is None:
            if ruling.signer is not None:
                self.tally.trust(ruling.signer)
            return
        self.tally.distrust(ruling.distrusted, source, ruling.signer)
        if ruling.reason is None:
            self._passed.note(str(ruling.distrusted), origin(source, ruling))

    def report(self, everything: bool = False) -> None:
        """Log what was taken although it is not trusted.

        Args:
            everything: also log what is not due yet, for the end.
        """
        self._passed.report(everything)

    def _look(self, judge: Judge) -> None:
        self._next_look = time.monotonic() + LOOK_SECONDS
        loaded, previous = judge.authority.loaded(), self.condition
        self.condition = condition(self._checks, judge)
        if self.condition.fault and self.condition.fault != previous.fault:
            log.error("signatures cannot be checked, %s: %s", self._what_follows, self.condition.fault)
        elif previous.fault and not self.condition.fault:
            log.warning("signatures are checked again, after: %s", previous.fault)
        if loaded is not self._seen and not self.condition.fault:
            log.info("signatures %s: read ca=%s crl=%s", self._checks.signatures, *map(_told, self.condition[2:]))
        self._seen = loaded

    @property
    def _what_follows(self) -> str:
        if self._checks.signatures is Signatures.WARN:
            return "messages pass unchecked"
        return "submit is busy and messages from inbound wait in the quarantine"


def condition(checks: Checks, judge: Judge | None = None) -> Condition:
    """Tell how checks stand.

    Args:
        checks: what is done about signatures.
        judge: of these checks; without one the files are read.
    """
    if checks.signatures is Signatures.OFF:
        return Condition(checks.signatures)
    from fedmsg_relay.trust.authority import Unusable  # noqa: PLC0415 -- not while signatures are off

    authority = (judge or judge_of(checks)).authority
    loaded, current = authority.loaded(), authority.current()
    validities = {} if isinstance(loaded, Unusable) else {validity.path: validity for validity in loaded.validities}
    soon = {validity.path for validity in authority.ends()}

    def state(path: str) -> FileState:
        validity = validities.get(path)
        end = None if validity is None or validity.end == float("inf") else validity.end
        return FileState(path, end, path in soon)

    fault = printable(f"{current.path}: {current.why}") if isinstance(current, Unusable) else ""
    return Condition(checks.signatures, fault, state(checks.ca), state(checks.crl) if checks.crl else None)


def origin(source: str, ruling: Ruling) -> str:
    """Say where a message is from, for the log.

    Args:
        source: IP address of its publisher.
        ruling: about the message.
    """
    source = source.removeprefix("::ffff:")
    if ruling.signer is None:
        return source
    return f"{source}, {'signed by' if ruling.is_proven else 'claims'} {ruling.signer}"


def _told(file: FileState | None) -> str:
    return "none" if file is None else f"{printable(file.path)} ({until(file.end)})"


def judge_of(checks: Checks) -> Judge:
    """Make the judge of some checks.

    Args:
        checks: what is done about signatures; not ``off``.
    """
    from fedmsg_relay.trust.authority import Authority  # noqa: PLC0415 -- not while signatures are off
    from fedmsg_relay.trust.verdict import Judge  # noqa: PLC0415

    return Judge(Authority(checks.ca, checks.crl), checks.policy)
