"""The name of a process, by which operators and checks find it."""

from __future__ import annotations

from pathlib import Path


def rename(name: str) -> None:
    """Call this process by a name, however it was started.

    Nagios counts processes called ``fedmsg-relay``, so of all the programs here only the relay may keep that name.

    Args:
        name: of at most 15 characters; the kernel cuts a longer one.
    """
    Path("/proc/self/comm").write_text(name, encoding="ascii")
