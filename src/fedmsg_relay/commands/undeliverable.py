"""The folder for files that cannot be delivered: within the spool, and closed to all but the user that delivers.

Only an operator looks at it. The user that delivers owns the spool, and so can move any file there or remove it, and
can remove any empty folder. Another user's folder that is not empty cannot be removed: it stays, and is not counted.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from contextlib import suppress

from fedmsg_relay import spool
from fedmsg_relay.errors import say
from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE

FOLDER = "refused"
"""Its name, in the spool."""

MAX_FILES, MAX_BYTES = 1000, 256 * 1024 * 1024
"""Maximum of what that folder holds once a lot is delivered: the oldest files make room."""

MAX_FILE_BYTES = 2 * DEFAULT_MAX_MESSAGE_SIZE
"""A larger file is removed: it is not a message, and would take the place of all others."""

LEFTOVER_SECONDS = 3600.0
"""Age at which a file that was never finished is removed."""

LEFTOVER_FILES = 1000
"""Maximum number of unfinished files of a user; beyond that they are removed at any age."""


class Undeliverable:
    """The folder for files that cannot be delivered.

    Args:
        path: of the spool.

    Attributes:
        messages: files of messages that were set aside.
    """

    def __init__(self, path: str) -> None:
        self.messages = 0
        self._path = path
        self._folder = os.path.join(path, FOLDER)

    def tidy(self) -> None:
        """Put away files that are not messages, and remove old unfinished files of scripts that were killed."""
        begun: Counter[int] = Counter()
        moved = removed = stay = 0
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name == FOLDER or spool.is_message(entry):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                    begun[found.st_uid] += entry.name[0] == "."
                    if entry.name[0] == "." and not _is_leftover(found, begun[found.st_uid]):
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        stay += not _remove_folder(entry.path)
                    elif entry.name[0] == "." or moved == MAX_FILES:
                        os.unlink(entry.path)
                        removed += entry.name[0] != "."
                    else:
                        moved += self._put(entry.name, found)
                except FileNotFoundError:
                    continue
                except OSError:  # its owner has made a folder of it meanwhile
                    stay += 1
        counts = {"set aside": moved, "removed": removed, "left, such as folders that are not empty": stay}
        if told := ", ".join(f"{number} {what}" for what, number in counts.items() if number):
            say(f"fedmsg-relay: {self._path}: files that are not messages: {told}")

    def put_message(self, name: str) -> None:
        """Set one file aside.

        Args:
            name: the file's, in the spool.

        Raises:
            OSError: it cannot be moved.
        """
        self._put(name, os.lstat(os.path.join(self._path, name)))
        self.messages += 1

    def make_room(self) -> None:
        """Remove the oldest files, as far as they are too many."""
        there = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name[0] == "." or entry.is_dir(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):  # an operator is removing it
                    found = entry.stat(follow_symlinks=False)
                    # The change time is that of the renaming; names are anybody's choice.
                    there.append((found.st_ctime_ns, entry.path, found.st_size))
        kept = removed = 0
        for number, (_, path, size) in enumerate(sorted(there, reverse=True)):
            kept += size
            if number >= MAX_FILES or kept > MAX_BYTES:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                removed += 1
        if removed:
            limit = f"{MAX_FILES} files and {MAX_BYTES >> 20} MiB"
            say(f"fedmsg-relay: {self._folder}: removed the {removed} oldest: it holds at most {limit}")

    def _put(self, name: str, found: os.stat_result) -> bool:
        """Move a file into the folder, or remove it where it is too large; return whether it was moved."""
        source, target = os.path.join(self._path, name), os.path.join(self._folder, name)
        if found.st_size > MAX_FILE_BYTES:
            os.unlink(source)
            return False
        if os.path.lexists(target):  # another user chose the same name
            target = os.path.join(self._folder, f"{time.time_ns()}{spool.SUFFIX}")
        os.rename(source, target)
        return True


def _is_leftover(found: os.stat_result, number: int) -> bool:
    # The change time: anybody may set the other one to the year 2100.
    return number > LEFTOVER_FILES or time.time() - found.st_ctime > LEFTOVER_SECONDS


def _remove_folder(path: str) -> bool:
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True
