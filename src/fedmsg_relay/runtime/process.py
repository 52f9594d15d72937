"""What this process is: its name, by which operators and checks find it, and its version."""

from __future__ import annotations

import sys
from pathlib import Path

from fedmsg_relay import __version__


def rename(name: str) -> None:
    """Call this process by a name, however it was started.

    Nagios counts processes called ``fedmsg-relay``, so of all the programs here only the relay may keep that name.

    Args:
        name: of at most 15 characters; the kernel cuts a longer one.
    """
    Path("/proc/self/comm").write_text(name, encoding="ascii")


def version() -> str:
    """Find the version of the program that runs.

    Returns:
        The name of the release where the role installed it, such as ``0.1.0+3f2a91c0d4.py313``; else the version of the
        package.
    """
    place = Path(sys.prefix)
    return place.name if place.parent.name == "releases" and place.name.startswith(__version__) else __version__
