"""Names releases, links commands to the one in use, and finds those that nobody uses any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KEPT = 2
"""The release in use and the previous one."""


def release_link(version: str, python: str) -> str:
    """Name a release after its content and the Python of its host, as a filter.

    Args:
        version: of the program; empty where the controller has none.
        python: the version of the host's Python, such as 3.11; empty where it has none yet.

    Returns:
        What the link to the release in use holds, such as ``releases/0.1.0+0123456789.py311``; empty if one of both is.
    """
    return f"releases/{version}.py{python.replace('.', '')}" if version and python else ""


def command_links(paths: Iterable[str], program: str, force: bool) -> list[dict[str, Any]]:
    """Link commands to the program, as a filter.

    Args:
        paths: where they are called.
        program: the folder of the commands of the release in use.
        force: whether a file in the place of a link is replaced.

    Returns:
        The links, as ``fedmsg_relay_files`` takes them.
    """
    return [
        {"path": path, "state": "link", "src": f"{program}/{path.rpartition('/')[2]}", "force": force} for path in paths
    ]


def superfluous(releases: Mapping[str, Sequence[str]], own: str) -> list[str]:
    """Find releases to remove, as a filter. One that failed its proof was never used.

    Args:
        releases: from ``fedmsg_relay_look``: the paths of those ``present``, and of those ``used``, the newest first.
        own: the path of the one in use.

    Returns:
        Their paths.
    """
    before = [path for path in releases["used"] if path != own]
    return [path for path in releases["present"] if path not in {own, *before[: KEPT - 1]}]
