#!/usr/bin/python
"""Brings files, directories and links of a host to the wanted state, all in one execution."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: fedmsg_relay_files
short_description: Bring files, directories and links to the wanted state in one execution
description:
  - Does the work of C(copy) with C(content) and of C(file) for a list of paths, in the order of the list.
  - It stops at the first path that it has to refuse.
  - Supports check mode, in which each path is compared with what is there before the run. Supports diff mode.
options:
  files:
    description: The paths and their wanted states.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The absolute path., type: str, required: true}
      state:
        description:
          - C(file) is a file with O(files[].content). A link in its place is replaced, not followed.
          - C(directory) is a directory. Missing parents are created with the same owner, group and mode.
          - C(link) is a symbolic link to O(files[].src).
        type: str
        choices: [file, directory, link]
        required: true
      content: {description: The text of a file., type: str}
      src: {description: The target of a link., type: str}
      owner: {description: The name of the owning user. Not for links., type: str, default: root}
      group: {description: The name of the owning group. Not for links., type: str, default: root}
      mode:
        description: The mode in octal digits. Not for links. By default C(0644) for a file and C(0755) for a directory.
        type: str
      follow: {description: Accept a link to a directory as the directory., type: bool, default: true}
      force: {description: Let a link replace a file and point to nothing., type: bool, default: false}
      only_new: {description: Leave a directory that is there as it is., type: bool, default: false}
  absent:
    description: Paths to remove after that. A directory is removed with all it holds.
    type: list
    elements: str
    default: []
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Write a file and link a command
  fedmsg_relay_files:
    files:
      - {path: /etc/x, state: file, content: "text\\n"}
      - {path: /usr/local/bin/x, state: link, src: /opt/x/bin/x}
"""

RETURN = """
changed_paths:
  description: The paths that changed, or would change.
  type: list
  elements: str
  returned: always
"""

Diff = dict[str, Any]
Move = Callable[[str, str], None]

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

    def __init__(self, move: Move, *, check: bool = False) -> None:
        """Remember how to work.

        Args:
            move: moves a finished file to its place, atomically.
            check: whether to change nothing.
        """
        self._move = move
        self._check = check

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
        if not self._check:
            self._write(path, new)
            self._attributes(item, path)
        elif kind == "file":
            diffs += self._attributes(item, path)
        return diffs

    def _write(self, path: Path, new: bytes) -> None:
        handle, finished = tempfile.mkstemp(prefix="fedmsg-relay-")
        try:
            with os.fdopen(handle, "wb") as output:
                output.write(new)
            if path.is_symlink():
                # Otherwise the file would get the attributes of the link's target.
                path.unlink()
            self._move(finished, str(path))
        finally:
            Path(finished).unlink(missing_ok=True)

    def _directory(self, item: Item) -> list[Diff]:
        path = Path(item.path).resolve() if item.follow else Path(item.path)
        kind = kind_of(path)
        if kind == "directory":
            return [] if item.only_new else self._attributes(item, path)
        if kind != "absent":
            raise RefusedError(f"{item.path} already exists as a {kind}")
        if not self._check:
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
        if not self._check:
            new = path.with_name(f"{path.name}.{os.getpid()}.new")
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
        if not self._check:
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
            if not self._check:
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
            if self._check:
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


def main() -> None:
    """Run as Ansible's module."""
    flag = {"type": "bool", "default": False}
    options = {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "required": True, "choices": ["file", "directory", "link"]},
        "content": {"type": "str"},
        "src": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "follow": {"type": "bool", "default": True},
        "force": flag,
        "only_new": flag,
    }
    needed = [("state", "file", ["content"]), ("state", "link", ["src"])]
    files_option = {"type": "list", "elements": "dict", "default": [], "options": options, "required_if": needed}
    module = AnsibleModule(
        {"files": files_option, "absent": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    files = Files(module.atomic_move, check=module.check_mode)
    paths: list[str] = []
    diffs: list[Diff] = []
    items = [Item(**parameters) for parameters in module.params["files"]]
    for item in items + [Item(path, "absent") for path in module.params["absent"]]:
        try:
            found = files.bring(item)
        except (OSError, RefusedError) as error:
            module.fail_json(msg=str(error), changed=bool(paths), changed_paths=paths)
        if found and item.path not in paths:
            paths.append(item.path)
        diffs += found
    module.exit_json(changed=bool(paths), changed_paths=paths, **({"diff": diffs} if module._diff else {}))


if __name__ == "__main__":
    main()
