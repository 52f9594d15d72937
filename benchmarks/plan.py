"""How much is to be measured, and how the run says where it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Row = dict[str, Any]
"""What was measured, one line of a table; a value that every round has is a list."""

T = TypeVar("T")


class BenchError(Exception):
    """The reason why a benchmark cannot be measured, in a line."""


@dataclass
class Plan:
    """How much is to be measured.

    Attributes:
        rounds: how often everything is measured.
        quick: on tiny numbers, to see that it works.
        long: also what takes many minutes.
        before: an older checkout, with its ``.venv``, to measure beside this one.
    """

    rounds: int = 3
    quick: bool = False
    long: bool = False
    before: Path | None = None
    notes: list[str] = field(default_factory=list)
    """What was not measured, and why."""
    _started: float = field(default_factory=time.monotonic)

    def pick(self, usual: T, quick: T) -> T:
        return quick if self.quick else usual

    def in_turn(self, names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Rounds of all contenders: one after the other, every other round backwards, so that drift cancels."""
        for number in range(self.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                yield number, name

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.0f} s  {text}", flush=True)

    def note(self, text: str) -> None:
        """Something is missing from the results: never in silence, and once is enough."""
        if text not in self.notes:
            self.notes.append(text)
            self.say(f"note: {text}")
