"""Small real file systems for tests, which takes root: full and read-only when a test wants it."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from harness import Host


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        why = done.stderr.splitlines()[0]
        pytest.fail(f"these tests mount file systems and so need root, with the right to: {why}", pytrace=False)


class Disk:
    """A small file system of its own in place of the host's state directory, or of another."""

    def __init__(self, host: Host, name: str = "state") -> None:
        self.directory = host.directory / name
        self._filler = self.directory / "filler"
        mount("-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", self.directory)

    def resize(self, size: str) -> None:
        mount("-o", f"remount,size={size}", self.directory)

    def fill(self) -> None:
        with self._filler.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(4096)):
                pass

    def free(self) -> None:
        self._filler.unlink()

    def forbid_writing(self) -> None:
        mount("-o", "remount,ro", self.directory)

    def allow_writing(self) -> None:
        mount("-o", "remount,rw", self.directory)

    def close(self) -> None:
        subprocess.run(["umount", self.directory], timeout=60, check=True)
