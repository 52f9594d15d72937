"""Takes things of the role away, and keeps what holds messages."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .command import CommandError, Run, attempt, must
from .files import Diff, Files, Item, RefusedError
from .keys import Keys, Places
from .relay import Relay
from .systemd import Unit


class StaysError(Exception):
    """Something that cannot be removed now."""


@dataclass(frozen=True)
class Goods:
    """What is removed.

    Attributes:
        absent: paths, directories with all they hold.
        directories: those that go if nothing else is in them.
        units: names of units that are stopped and switched off first.
        deliver: the unit that delivers waiting messages before that; empty if there are none.
        retire: the journal of a relay that is retired, which gets another name; empty if none is.
        keep: directories that hold messages, with their names in the backup.
        given_back: a copy of others' file, and the path at which it was; empty if there is none.
        manifest: the list of keys and certificates of the role; empty if they stay.
        ssldir: their directory, which goes with the last of them.
    """

    absent: Sequence[str]
    directories: Sequence[str] = ()
    units: Sequence[str] = ()
    deliver: str = ""
    retire: str = ""
    keep: Mapping[str, str] = field(default_factory=dict)
    given_back: Sequence[str] = ()
    manifest: str = ""
    ssldir: str = "/"


class Removal:
    """Removes things from one host."""

    def __init__(self, home: str, backups: str, run: Run, files: Files) -> None:
        """Remember how to work.

        Args:
            home: the directory of the program.
            backups: the directory in which a new one keeps what holds messages.
            run: runs a command.
            files: removes files. In a dry run it changes nothing, and neither does this.
        """
        self._home = home
        self._run = run
        self._files = files
        self.backup = Path(backups, f"uninstalled-{_now()}")
        """Where it keeps that."""
        self.diffs: list[Diff] = []
        """What has changed, or would change."""

    def remove(self, goods: Goods) -> list[str]:
        """Remove things, in the order of the attributes of :class:`Goods` from the units on.

        Args:
            goods: the things.

        Returns:
            The directories that were moved into the backup; none if there was nothing to keep.

        Raises:
            CommandError: a command failed.
            OSError: a file cannot be removed.
            RefusedError: likewise.
            StaysError: it must not be removed now. A relay that was to be retired runs again.
        """
        try:
            return self._remove(goods)
        except (CommandError, OSError, RefusedError, StaysError):
            if goods.retire:
                self._start_again(goods.units)
            raise

    def _remove(self, goods: Goods) -> list[str]:
        self._stop(goods)
        if goods.retire:
            self._retire(goods.retire)
        kept = self._keep(goods.keep)
        given_back = goods.given_back if all(map(os.path.lexists, goods.given_back[:1])) else ()
        for change in self._given_back(given_back):
            self.diffs += change
        absent = [path for path in goods.absent if path not in given_back[1:]]
        if goods.manifest:
            places = Places(directory=Path(goods.ssldir), manifest=Path(goods.manifest), header="", backups=Path("/"))
            self.diffs += Keys(places, [], check=self._files.check).drop()
        for path in absent:
            self.diffs += self._files.remove(path)
        for path in goods.directories:
            if not _is_used(path, [*absent, goods.manifest]):
                self.diffs += self._files.remove(path)
        if self.diffs and not self._files.check:
            must(self._run, ["systemctl", "daemon-reload"])
            left = [path for path in absent if os.path.lexists(path)]
            if left:
                raise StaysError(f"Still there: {', '.join(left)}.")
        return kept

    def _stop(self, goods: Goods) -> None:
        if goods.deliver and not self._files.check:
            must(self._run, ["systemctl", "start", goods.deliver])
        for name in goods.units:
            was = {"unit": name, "state": "running or enabled"}
            if self._files.check or Unit(name, self._run).switch_off():
                self.diffs.append({"before": was, "after": {"unit": name, "state": "stopped"}})

    def _retire(self, journal: str) -> None:
        """Rename the journal, if the relay's last moment brought no message."""
        if self._files.check:
            return
        waiting = Relay(self._home, self._run).unsent(journal)
        if waiting:
            raise StaysError(
                f"{waiting} messages came in while the relay was stopped, so it is started again. Run again."
            )
        path = Path(journal)
        if not path.exists():
            return
        retired, log = f"{journal}.retired-{_now()}", Path(f"{journal}-wal")
        # With the WAL, if a killed relay left one: its newest messages are only there. A reader leaves an empty one.
        if log.exists() and log.stat().st_size:
            log.rename(f"{retired}-wal")
        path.rename(retired)
        bridge = path.with_name("bridge.db")
        if bridge.exists():
            bridge.rename(f"{bridge}.retired-{retired.rpartition('-')[2]}")
        for left in (log, Path(f"{journal}-shm"), Path(f"{bridge}-wal"), Path(f"{bridge}-shm")):
            left.unlink(missing_ok=True)
        self.diffs.append({"before": {"path": journal}, "after": {"path": retired}})

    def _keep(self, keep: Mapping[str, str]) -> list[str]:
        found = {path: name for path, name in keep.items() if Path(path).exists()}
        for path, name in found.items():
            place = str(self.backup / name)
            if not self._files.check:
                self._files.bring(Item(str(self.backup), "directory", mode="0700"))
                must(self._run, ["mv", path, place])
            self.diffs.append({"before": {"path": path}, "after": {"path": place}})
        return list(found)

    def _given_back(self, pair: Sequence[str]) -> list[list[Diff]]:
        if not pair:
            return []
        return [self._files.copy(*pair), self._files.remove(pair[0])]

    def _start_again(self, units: Sequence[str]) -> None:
        for name in units if not self._files.check else ():
            for order in ("enable", "start"):
                attempt(self._run, ["systemctl", order, name])


def holds_messages(spool: str) -> bool:
    """Whether there is anything in the spool, also refused messages.

    Args:
        spool: its directory.

    Returns:
        Whether there is a file.
    """
    return any(path.is_file() for path in Path(spool).rglob("*"))


def _is_used(directory: str, removed: Sequence[str]) -> bool:
    """Whether a directory has to stay: it is not there, or something is in it that is not removed."""
    path = Path(directory)
    if not path.is_dir():
        return True
    return any(str(one) not in removed for one in path.iterdir())


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def told(diffs: Sequence[Diff]) -> dict[str, Any]:
    """Tell what a removal changed, as Ansible wants it.

    Args:
        diffs: of the removal.

    Returns:
        ``changed`` and ``changed_paths``.
    """
    paths = [diff["before"]["path"] for diff in diffs if "path" in diff["before"]]
    return {"changed": bool(diffs), "changed_paths": paths}
