"""The notices to systemd from a service of ``Type=notify``, see sd_notify(3) and systemd.service(5)."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

TELL_SECONDS = 1.0
"""Maximum time that a systemd that does not listen holds the relay up."""


class Notifier:
    """Tells systemd the state of the relay over ``$NOTIFY_SOCKET``; without it, it does nothing."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        # Kept open: a sign of life must also be possible when no file descriptor is left.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(TELL_SECONDS)
        microseconds = int(os.environ.pop("WATCHDOG_USEC", "0") or 0)
        for_us = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_interval = microseconds / 2e6 if for_us else 0.0
        """Seconds between two signs of life: half of the time that systemd waits; 0 if it does not wait for any."""
        self._next_sign = 0.0

    def tell(self, **state: str) -> None:
        """Send state, such as ``READY="1"`` or ``STATUS="up"``."""
        if not self._address:
            return
        lines = "\n".join(f"{key}={value}" for key, value in state.items())
        # On an error systemd is restarting; the next sign of life reaches it.
        with suppress(OSError):
            self._socket.sendto(lines.encode(), self._address)

    def sign_of_life(self) -> None:
        """Feed the watchdog when it is due; called once a turn of the relay's loop."""
        if self.watchdog_interval and (now := time.monotonic()) >= self._next_sign:
            self._next_sign = now + self.watchdog_interval
            self.tell(WATCHDOG="1")

    def reloading(self) -> None:
        """Say that the settings are being re-read."""
        self.tell(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))
