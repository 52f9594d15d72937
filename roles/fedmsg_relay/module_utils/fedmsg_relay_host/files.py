"""Brings files, directories and links of a host to the wanted state."""

from __future__ import annotations

import filecmp
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Diff = dict[str, Any]

MODES = {"file": "0644", "directory": "0755"}


class RefusedError(Exception):
    """A path that cannot be brought to the wanted state."""


@dataclass(frozen=True)
class Item:
    """The wanted state of one path."""

    path: str
    state: str
    content: str | None = None
    src: str | None = None
    owner: str = "root"
    group: str = "root"
    mode: str | None = None
    follow: bool = True
    force: bool = False
    only_new: bool = False


class Files:
    """Brings paths to their wanted states."""

    def __init__(self, *, check: bool = False) -> None:
        """Remember how to work.

        Args:
            check: whether to change nothing.
        """
        self.check = check

    def bring(self, item: Item) -> list[Diff]:
        """Bring one path to its wanted state.

        Args:
            item: the path and its wanted state.

        Returns:
            The differences; empty if it was as wanted.

        Raises:
            RefusedError: something else is in the way, or a user or group does not exist.
        """
        bring = {"file": self._file, "directory": self._directory, "link": self._link, "absent": self._absent}
        return bring[item.state](item)

    def copy(self, source: str, target: str) -> list[Diff]:
        """Copy a file or a link with all its attributes, in place of what is there.

        Nobody else can read the copy before it has them.

        Args:
            source: what is copied. Nothing is done if it is not there.
            target: where the copy goes. Missing parents are made.

        Returns:
            The differences; empty if the copy was there.
        """
        one, other = Path(source), Path(target)
        if not os.path.lexists(one) or _is_same(one, other):
            return []
        if not self.check:
            for parent in _missing(other.parent):
                parent.mkdir(0o755)
                parent.chmod(0o755)
            beside, seen, before = _beside(other), one.lstat(), os.umask(0o077)
            try:
                shutil.copy2(one, beside, follow_symlinks=False)
            finally:
                os.umask(before)
            os.chown(beside, seen.st_uid, seen.st_gid, follow_symlinks=False)
            beside.replace(other)
        return [_diff(target, {"state": kind_of(other)}, {"state": kind_of(one), "copy": source})]

    def remove(self, path: str) -> list[Diff]:
        """Remove a path, a directory with all it holds.

        Args:
            path: what is removed.

        Returns:
            The differences; empty if it was not there.
        """
        return self.bring(Item(path, "absent"))

    def _file(self, item: Item) -> list[Diff]:
        path = Path(item.path)
        kind = kind_of(path)
        if kind not in ("absent", "file", "link"):
            raise RefusedError(f"{path} already exists as a {kind}")
        old = path.read_bytes() if kind == "file" else None
        new = (item.content or "").encode()
        if old == new:
            return self._attributes(item, path)
        diffs = [_content_diff(item, old)]
        if not self.check:
            self._write(path, new, item)
        elif kind == "file":
            diffs += self._attributes(item, path)
        return diffs

    def _write(self, path: Path, new: bytes, item: Item) -> None:
        """Write a file that nobody else can read before it has its owner, group and mode."""
        owner, group = self._id(item.owner, _uid), self._id(item.group, _gid)
        beside = _beside(path)
        beside.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
                output.write(new)
                output.flush()
                os.fchown(output.fileno(), owner, group)
                os.fchmod(output.fileno(), int(item.mode or MODES[item.state], 8))
                os.fsync(output.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def _directory(self, item: Item) -> list[Diff]:
        path = Path(item.path).resolve() if item.follow else Path(item.path)
        kind = kind_of(path)
        if kind == "directory":
            return [] if item.only_new else self._attributes(item, path)
        if kind != "absent":
            raise RefusedError(f"{item.path} already exists as a {kind}")
        if not self.check:
            for one in _missing(path):
                one.mkdir(0o700)
                self._attributes(item, one)
        return [_diff(item.path, {"state": "absent"}, {"state": "directory"})]

    def _link(self, item: Item) -> list[Diff]:
        path = Path(item.path)
        kind = kind_of(path)
        old = os.readlink(path) if kind == "link" else None  # noqa: PTH115 - a Path would lose the exact text
        if item.src is None or old == item.src:
            return []
        if kind not in ("absent", "link", "file") or (kind == "file" and not item.force):
            raise RefusedError(f"{path} already exists as a {kind} and does not become a link")
        if not item.force and not (path.parent / item.src).exists():
            raise RefusedError(f"{path} does not become a link to {item.src}, which does not exist")
        if not self.check:
            new = _beside(path)
            new.symlink_to(item.src)
            new.replace(path)
        if old is not None:
            return [_diff(item.path, {"src": old}, {"src": item.src})]
        return [_diff(item.path, {"state": kind}, {"src": item.src, "state": "link"})]

    def _absent(self, item: Item) -> list[Diff]:
        path = Path(item.path)
        kind = kind_of(path)
        if kind == "absent":
            return []
        if not self.check:
            if kind == "directory":
                shutil.rmtree(path)
            else:
                path.unlink()
        return [_diff(item.path, {"state": kind}, {"state": "absent"})]

    def _attributes(self, item: Item, path: Path) -> list[Diff]:
        """Set owner, group and mode by a handle, so that a link put there in the meantime is not followed."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            seen = os.fstat(handle)
            owner, group = self._id(item.owner, _uid), self._id(item.group, _gid)
            mode = int(item.mode or MODES[item.state], 8)
            before: Diff = {}
            after: Diff = {}
            for key, old, new in (("owner", seen.st_uid, owner), ("group", seen.st_gid, group)):
                if old != new:
                    before[key], after[key] = old, new
            if stat.S_IMODE(seen.st_mode) != mode:
                before["mode"], after["mode"] = f"{stat.S_IMODE(seen.st_mode):04o}", f"{mode:04o}"
            if not after:
                return []
            if not self.check:
                os.fchown(handle, owner, group)
                os.fchmod(handle, mode)
            return [_diff(item.path, before, after)]
        finally:
            os.close(handle)

    def _id(self, name: str, find: Callable[[str], int]) -> int:
        try:
            return find(name)
        except KeyError:
            # A dry run has not created it.
            if self.check:
                return -1
            raise RefusedError(f"there is no user or group {name}") from None


def kind_of(path: Path) -> str:
    """Say what a path is.

    Args:
        path: is not followed if it is a link.

    Returns:
        ``absent``, ``file``, ``directory``, ``link`` or ``special file``.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "absent"
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "special file")


def _is_same(one: Path, other: Path) -> bool:
    if kind_of(one) != kind_of(other):
        return False
    if one.is_symlink():
        return os.readlink(one) == os.readlink(other)  # noqa: PTH115 - the exact text
    seen, there = one.lstat(), other.lstat()
    attributes = [(found.st_uid, found.st_gid, found.st_mode) for found in (seen, there)]
    return attributes[0] == attributes[1] and filecmp.cmp(one, other, shallow=False)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.new")


def _missing(path: Path) -> list[Path]:
    return [one for one in reversed([path, *path.parents]) if not os.path.lexists(one)]


def _uid(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _diff(path: str, before: Diff, after: Diff) -> Diff:
    return {"before": {"path": path, **before}, "after": {"path": path, **after}}


def _content_diff(item: Item, old: bytes | None) -> Diff:
    headers = {"before_header": item.path, "after_header": item.path}
    return {**headers, "before": (old or b"").decode(errors="replace"), "after": item.content or ""}
