"""The tally of the checks: the signers of messages, and the messages that were not trusted."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import TypedDict

from fedmsg_relay.errors import printable
from fedmsg_relay.trust.reasons import Reason

SIGNERS = 1000
"""Number of signers that are counted. Beyond it the signer that was silent longest is forgotten."""

TOP = 10
"""Signers that the status names: those of the most messages."""

NAME_LENGTH = 100
"""Characters of a name that are shown; a certificate may hold any number."""


class SignerStatus(TypedDict):
    """A signer, and how many messages of it were taken."""

    name: str
    messages: int


class DistrustStatus(TypedDict):
    """Messages that were not trusted for one reason: the last one's IP address, and the signer that it claims."""

    messages: int
    source: str
    signer: str | None


class Tally:
    """Counts what the checks found. Thread-safe, and bounded whatever messages claim."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._distrusted: Counter[Reason] = Counter()
        self._last: dict[Reason, tuple[str, str | None]] = {}
        self._signers: OrderedDict[str, int] = OrderedDict()

    def trust(self, signer: str) -> None:
        """Count a message whose signer is proven.

        Args:
            signer: its name, as :func:`shown` makes it.
        """
        with self._lock:
            self._signers[signer] = self._signers.pop(signer, 0) + 1
            if len(self._signers) > SIGNERS:
                self._signers.popitem(last=False)

    def distrust(self, reason: Reason, source: str, signer: str | None) -> None:
        """Count a message that is not trusted.

        Args:
            reason: why.
            source: IP address of its publisher.
            signer: the signer that it claims, as :func:`shown` makes it.
        """
        with self._lock:
            self._distrusted[reason] += 1
            self._last[reason] = source, signer

    def signers(self) -> list[SignerStatus]:
        """List the signers of the most messages."""
        with self._lock:
            # Not Counter.most_common, which imports a module: there may be no file descriptor left for that.
            top = sorted(self._signers.items(), key=lambda signer: -signer[1])[:TOP]
        return [{"name": name, "messages": count} for name, count in top]

    def distrusted(self) -> dict[str, DistrustStatus]:
        """Get the messages that were not trusted, by reason."""
        with self._lock:
            return {
                str(reason): {"messages": self._distrusted[reason], "source": source, "signer": signer}
                for reason, (source, signer) in self._last.items()
            }


def shown(name: str) -> str:
    """Make the name of a signer fit for the log and a terminal.

    Args:
        name: from a certificate, which anybody may have made.
    """
    return printable(name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}...")
