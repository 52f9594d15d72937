"""Keys, certificates, CA and CRL of a host, and the list of files that the role has written."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import Diff, RefusedError


@dataclass(frozen=True)
class Item:
    """The wanted state of a file."""

    name: str
    owner: str
    group: str
    mode: str
    sha256: str
    content: str | None = None


@dataclass(frozen=True)
class Places:
    """Where things are."""

    directory: Path
    manifest: Path
    header: str
    backups: Path
    source: str = ""


class Keys:
    """The files of a host, and the manifest of the files that this module has written."""

    def __init__(self, places: Places, items: list[Item], *, check: bool = False) -> None:
        """Read the manifest.

        Args:
            places: where things are.
            items: the wanted files.
            check: whether to change nothing.
        """
        self._places = places
        self._items = items
        self._check = check
        self._listed = _listed(places.manifest)

    def compare(self) -> dict[str, list[str]]:
        """Compare the host with what is wanted.

        Returns:
            What RETURN says.
        """
        users = {item.owner for item in self._items}
        groups = {item.group for item in self._items}
        new = [path for path, item in self._wanted() if _digest(path) != item.sha256]
        return {
            "differ": [str(path) for path, item in self._wanted() if path in new or self._attributes(path, item)],
            "foreign": [str(path) for path in new if self._is_foreign(path)],
            "dropped": self._dropped(),
            "unknown": [f"user {name}" for name in sorted(users) if _number(pwd.getpwnam, name) is None]
            + [f"group {name}" for name in sorted(groups) if _number(grp.getgrnam, name) is None],
        }

    def bring(self) -> list[Diff]:
        """Bring the files to the wanted state.

        Returns:
            The differences.

        Raises:
            RefusedError: something else is in the way, or a user or group does not exist.
        """
        diffs = []
        new = []
        for path, item in self._wanted():
            if _digest(path) != item.sha256:
                diffs.append(self._content_diff(path))
                new.append((path, item))
            elif diff := self._attributes(path, item):
                diffs.append(diff)
                self._change(path, item)
        if new and not self._check:
            self._write(new)
        return diffs

    def drop(self) -> list[Diff]:
        """Remove the files of the manifest that are not wanted any more; with the last one the manifest goes too.

        Returns:
            The differences.
        """
        dropped = self._dropped()
        gone = [path for path in dropped if os.path.lexists(path)]
        if dropped and not self._check:
            for path in gone:
                Path(path).unlink()
            self._list([path for path in self._listed if path not in dropped])
        return [_diff(path, {"state": "file"}, {"state": "absent"}) for path in gone]

    def _wanted(self) -> list[tuple[Path, Item]]:
        return [(self._places.directory / item.name, item) for item in self._items]

    def _dropped(self) -> list[str]:
        wanted = {str(path) for path, _ in self._wanted()}
        return [path for path in self._listed if path not in wanted]

    def _is_foreign(self, path: Path) -> bool:
        return os.path.lexists(path) and str(path) not in self._listed

    def _write(self, new: list[tuple[Path, Item]]) -> None:
        _make(self._places.directory)
        for path, _ in new:
            if path.is_dir() and not path.is_symlink():
                raise RefusedError(f"{path} already exists as a directory")
            if self._is_foreign(path):
                self._back_up(path)
        # Before the files: a run that ends between the two leaves no file behind that nobody would remove.
        self._list(list(dict.fromkeys([*self._listed, *(str(path) for path, _ in new)])))
        try:
            for path, item in new:
                self._create(_beside(path), item)
            for path, _ in new:
                _beside(path).replace(path)
        finally:
            for path, _ in new:
                _beside(path).unlink(missing_ok=True)

    def _create(self, path: Path, item: Item) -> None:
        """Write a file that nobody else can read at any moment."""
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write((item.content or "").encode())
            _own(handle, item)
            file.flush()
            os.fsync(handle)

    def _list(self, paths: list[str]) -> None:
        manifest = self._places.manifest
        if not paths:
            manifest.unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                self._places.directory.rmdir()
            return
        _make(manifest.parent)
        new = _beside(manifest)
        new.write_text("".join(f"{line}\n" for line in (self._places.header, *paths)), encoding="utf-8")
        new.chmod(0o644)
        new.replace(manifest)

    def _back_up(self, path: Path) -> None:
        """Keep a file that this module has not written. Nobody else can read the copy at any moment."""
        copy, seen = self._places.backups / path.relative_to("/"), path.lstat()
        _make(copy.parent)
        before = os.umask(0o077)
        try:
            shutil.copy2(path, copy, follow_symlinks=False)
        finally:
            os.umask(before)
        os.chown(copy, seen.st_uid, seen.st_gid, follow_symlinks=False)

    def _attributes(self, path: Path, item: Item) -> Diff | None:
        """The difference of owner, group and mode."""
        seen = path.lstat()
        wanted = {
            "owner": _number(pwd.getpwnam, item.owner),
            "group": _number(grp.getgrnam, item.group),
            "mode": f"{int(item.mode, 8):04o}",
        }
        there = {"owner": seen.st_uid, "group": seen.st_gid, "mode": f"{stat.S_IMODE(seen.st_mode):04o}"}
        other = [key for key, value in wanted.items() if value != there[key]]
        return (
            _diff(str(path), {key: there[key] for key in other}, {key: wanted[key] for key in other}) if other else None
        )

    def _change(self, path: Path, item: Item) -> None:
        if self._check:
            return
        # By a handle, so that a link put there in the meantime is not followed.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            _own(handle, item)
        finally:
            os.close(handle)

    def _content_diff(self, path: Path) -> Diff:
        before = {"content": "another"} if os.path.lexists(path) else {"state": "absent"}
        return _diff(str(path), before, {"content": f"that of {self._places.source}/{path.name}"})


def _listed(manifest: Path) -> list[str]:
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line.startswith("/")]


def _digest(path: Path) -> str:
    """The digest of a file; empty if there is none. A link is not followed: it is not the file that is wanted."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return ""
    with os.fdopen(handle, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _number(find: Callable[[str], Any], name: str) -> int | None:
    try:
        return int(find(name)[2])
    except KeyError:
        return None


def _own(handle: int, item: Item) -> None:
    owner, group = _number(pwd.getpwnam, item.owner), _number(grp.getgrnam, item.group)
    if owner is None or group is None:
        raise RefusedError(f"there is no user {item.owner}" if owner is None else f"there is no group {item.group}")
    os.fchown(handle, owner, group)
    os.fchmod(handle, int(item.mode, 8))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _make(directory: Path) -> None:
    for one in reversed([directory, *directory.parents]):
        if not os.path.lexists(one):
            one.mkdir(0o755)
            one.chmod(0o755)


def _diff(path: str, before: Diff, after: Diff) -> Diff:
    return {"before": {"path": path, **before}, "after": {"path": path, **after}}
