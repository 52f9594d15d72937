"""A clock that a test can step, for the programs it starts: libfaketime below them, at what they ask libc for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import PATIENCE, Host

HOUR = 3600

SLEEP = """\
# libfaketime 0.9.10 makes Python's own sleep an "Invalid argument" where the monotonic clock is left as it is.
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds)
"""


class Clock:
    """The time of day as programs see it that run with its `env`; what they measure intervals with stays true."""

    def __init__(self, host: Host) -> None:
        self._file = host.directory / "clock"
        self._offset = 0
        self.step(0)
        host.write("python/sitecustomize.py", SLEEP)
        # The command holds the shared memory that its library needs, and removes it in the end.
        hold = ["faketime", "-f", "+0", "sh", "-c", "printenv LD_PRELOAD FAKETIME_SHARED; exec cat"]
        try:
            self._holder = subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:  # skipping would hide what is not tested
            raise AssertionError(
                "no faketime: run script/test, which installs it, or `apt-get install faketime`"
            ) from None
        assert self._holder.stdout is not None
        self.env = {
            "LD_PRELOAD": self._holder.stdout.readline().strip(),
            "FAKETIME_SHARED": self._holder.stdout.readline().strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(host.directory / "python"),
        }

    def step(self, seconds: int) -> None:
        """Step it, for what runs already and for what is started later."""
        self._offset += seconds
        new = Path(f"{self._file}.new")
        new.write_text(f"{self._offset:+d}s\n")
        new.rename(self._file)

    def close(self) -> None:
        self._holder.communicate(timeout=PATIENCE)
