"""What the demo shows: its own words, and the output of the programs that it runs, as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import Process

STEP_SECONDS = 10
LONGEST_LINE = 160
"""Characters of a line that are shown: a signed message has its certificate in it."""
HELLO = "demo.hello"

# Signals that told the demo to end. They are noted and looked at where nothing is half done.
signals: list[int] = []


class DemoError(Exception):
    """The step that failed, in one line."""


class InterruptedDemoError(Exception):
    """A signal told the demo to end."""


def look_at_signals() -> None:
    if signals:
        raise InterruptedDemoError


class Shown:
    """A running program whose output is shown while the demo waits for it, or for a program that runs beside it."""

    def __init__(self, name: str, process: Process, output: Callable[[], str], beside: Shown | None = None) -> None:
        self.name, self._process, self._output, self._beside = name, process, output, beside
        self._shown = 0

    def show_new(self) -> str:
        """Show the lines that have come since the last time, and return all output."""
        if self._beside:
            self._beside.show_new()
        output = self._output()
        complete = output.rfind("\n") + 1
        for line in output[self._shown : complete].splitlines():
            if not line.startswith(HELLO):
                show(self.name, line)
        self._shown = complete
        return output

    def wait_for(self, expected: str, doing: Callable[[], object] = lambda: None) -> None:
        """Wait until the output holds `expected`, `doing` something while waiting."""
        deadline = time.monotonic() + STEP_SECONDS
        while expected not in self.show_new():
            look_at_signals()
            if not self._process.alive():
                raise DemoError(f"the {self.name} ended by itself, exit {self._process.wait()}")
            if time.monotonic() > deadline:
                raise DemoError(f"the {self.name} did not print {expected!r} in {STEP_SECONDS} s")
            doing()
            time.sleep(0.02)


def show(who: str, line: str) -> None:
    line = line.rstrip("\n")
    say(f"   {who:8} | " + (line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."))


def say(text: str) -> None:
    sys.stdout.buffer.write(text.encode() + b"\n")  # in any locale
    sys.stdout.buffer.flush()
