"""Reads what is installed on a host, without a command: files, links, releases, the user."""

from __future__ import annotations

import base64
import glob
import grp
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .service import newest

Found = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Where the role's things are."""

    home: str
    marker: str
    files: list[str]
    patterns: list[str]
    commands: list[str]
    contents: list[str]
    config: str
    unit: str
    web_unit: str
    bridge_unit: str
    bridge_settings: str
    settings: str
    spool_units: list[str]
    pythons: list[str]
    user: str


def account(places: Places) -> Found:
    """Look for the relay's user and group."""
    return {"user": _exists(pwd.getpwnam, places.user), "group": _exists(grp.getgrnam, places.user)}


def contents(places: Places) -> Found:
    """Read files. A file that cannot be read counts as empty."""
    found = {}
    for path in places.contents:
        try:
            found[path] = base64.b64encode(Path(path).read_bytes()).decode()
        except OSError:
            found[path] = ""
    return found


def files(places: Places) -> Found:
    """Tell the role's files and links from those of others."""
    more = [path for pattern in places.patterns for path in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute
    present = [path for path in places.files + places.commands + more if os.path.lexists(path)]
    ours = [
        path
        for path in present
        if (_leads(path, places) if path in places.commands else _is_marked(path, places.marker))
    ]
    return {"ours": ours, "foreign": [path for path in present if path not in ours]}


def hostname(_: Places) -> str:
    """Get the name from which scripts make keys of the config."""
    return os.uname().nodename


def configured(places: Places) -> int:
    """Find when the config was written."""
    try:
        return int(Path(places.config).stat().st_mtime)
    except FileNotFoundError:
        return 0


def releases(places: Places) -> Found:
    """Find the release in use, and the installed releases."""
    folder = Path(places.home, "releases")
    present = [path for path in _sorted(folder) if path.is_dir() and not path.is_symlink() and path.name[0] != "."]
    used = [(path / ".used", path) for path in present if (path / ".used").is_file()]
    newest_first = sorted(used, key=lambda pair: pair[0].stat().st_mtime, reverse=True)
    return {
        "home": Path(places.home).is_dir(),
        "current": _target(f"{places.home}/current"),
        "present": [str(path) for path in present],
        "complete": [str(path) for path in present if (path / ".complete").exists()],
        **{extra: [str(path) for path in present if (path / f".{extra}").exists()] for extra in ("web", "bridge")},
        "used": [str(path) for _, path in newest_first],
    }


def written(places: Places) -> int:
    """Find when the newest of the unit and the current link was written."""
    return newest([Path(places.unit), Path(places.home, "current")])


READ = {
    "account": account,
    "configured": configured,
    "contents": contents,
    "files": files,
    "hostname": hostname,
    "releases": releases,
    "written": written,
}
"""The subsets of the state that need no command."""


def _is_marked(path: str, marker: str) -> bool:
    """Whether the role wrote the file. It writes no links."""
    if os.path.islink(path) or not os.path.isfile(path):  # noqa: PTH113, PTH114
        return False
    try:
        return any(line.startswith(marker) for line in Path(path).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return False


def _leads(path: str, places: Places) -> bool:
    return _target(path).startswith(f"{places.home}/")


def _target(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - the exact text
    except OSError:
        return ""


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _exists(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True
