"""The way to another relay: its name is looked up, then one address after the other is tried. Nothing here waits."""

from __future__ import annotations

import socket
import time

from fedmsg_relay.hostnames import Lookup
from fedmsg_relay.network import dialling

CONNECT_SECONDS = 5.0
"""Time after which an address that does not answer is given up."""


class Dialler:
    """Connects to the first address of a relay that answers.

    Args:
        address: ``tcp://HOST:PORT`` or ``ipc://PATH``.

    Attributes:
        fault: why no address could be connected to; empty while one may be.
        began: when the last try began, by ``time.monotonic``.
    """

    def __init__(self, address: str) -> None:
        self.fault = ""
        self.began = time.monotonic()
        self._lookup = Lookup(address)
        self._candidates: list[str] | None = None
        self._trying: socket.socket | None = None

    @property
    def waits_for(self) -> str:
        """Why there is no connection yet, for a person."""
        return self._lookup.fault if self._candidates is None else "it does not answer"

    def update(self) -> socket.socket | None:
        """Go on.

        Returns:
            The connection once there is one; it is the caller's from then on.
        """
        if self._candidates is None:
            if not self._lookup.done:
                return None
            self._candidates = self._lookup.result()
            if not self._candidates:
                self.fault = self._lookup.fault
                return None
        if self._trying is None:
            self._dial(self._candidates.pop(0))
        elif (wrong := dialling.outcome(self._trying)) == "":
            connected, self._trying = self._trying, None
            return connected
        elif wrong is not None:
            self._give_up(wrong)
        elif time.monotonic() - self.began > CONNECT_SECONDS:
            self._give_up("it does not answer")
        return None

    def close(self) -> None:
        """End the try that is under way."""
        if self._trying is not None:
            self._trying.close()
            self._trying = None

    def _dial(self, address: str) -> None:
        self.began = time.monotonic()
        try:
            self._trying = dialling.dial(address)
        except OSError as error:
            self._give_up(error_text(error))

    def _give_up(self, why: str) -> None:
        """Give up an address; the next one has its turn, if there is one."""
        self.close()
        if not self._candidates:
            self.fault = why


def error_text(error: OSError) -> str:
    """Say what went wrong with a connection.

    Args:
        error: the fault.
    """
    return error.strerror or str(error)
