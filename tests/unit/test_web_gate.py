"""Readers that overlap all the time leave a moment without any, once the WAL has grown."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedmsg_relay.web import limits
from fedmsg_relay.web.gate import Gate
from harness import wait_until


class Relayed:
    """Two readers, each of which reads on until the other one reads too."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._changed = threading.Condition()
        self._reading = 0
        self._ended = False
        self.moments = 0
        self.turns = 0

    def read(self) -> None:
        while not self._ended:
            with self._gate.reading(), self._changed:
                self._reading += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._reading == 2, 0.5)
                self.turns += 1
            with self._changed:
                self._reading -= 1
                self.moments += self._reading == 0

    def end(self) -> None:
        self._ended = True


@pytest.mark.parametrize("grown", [True, False])
def test_readers_pause_together_only_where_the_wal_has_grown(
    tmp_path: Path, grown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WAL_SECONDS", 0.01)
    with (tmp_path / "journal.db-wal").open("wb") as wal:
        wal.truncate(limits.WAL_BYTES + grown)
    gate = Gate(tmp_path / "journal.db")
    readers, ended = Relayed(gate), threading.Event()
    with ThreadPoolExecutor(3) as threads:
        try:
            threads.submit(gate.keep, ended)
            for _ in range(2):
                threads.submit(readers.read)
            if grown:
                wait_until(lambda: readers.moments >= 3, "moments without a reader")
                turns = readers.turns
                wait_until(lambda: readers.turns > turns, "the readers go on after a pause")
            else:
                wait_until(lambda: readers.turns >= 500, "they read")
        finally:
            ended.set()
            readers.end()
