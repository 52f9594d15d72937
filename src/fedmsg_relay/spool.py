"""The spool: a script host's directory of messages that no relay has taken yet.

Many users write into it and one delivers from it, like a mail queue's drop directory: it belongs to ``fedmsg``, is
sticky and set-group-ID (mode 3777). So files get the group ``fedmsg``, and only their owner and ``fedmsg`` can remove
them.

One message is one file, ``TIME-PID-NUMBER.msg`` (Unix nanoseconds, 20 digits): sorted names are the order of delivery.
TIME is above that of the messages that already wait, whatever the clock says.
A file is written under a dotted name, synced and renamed, and then the directory is synced: so each message is whole
and on disk.
The first line is ``fedmsg-spool 1 message``, then a line with the topic, then the body; or, from the shell where the
config cannot be read, ``fedmsg-spool 1 msg``, then lines with modname, topic, timestamp, msg_id and user name, then
the JSON that becomes ``msg`` when it is delivered.

A message is a regular file whose name ends in ``.msg``, and belongs to the owner of the file. Each user has a quota and
an order of their own: files of one user do not count for another user, and no user waits for them. The delivery
puts away files that are not messages.

This module is on the path of one-off scripts: it imports only what that needs.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence
from itertools import count, islice
from typing import Any

from fedmsg_relay.config import is_file_name
from fedmsg_relay.errors import ConfigError, NoRelayError

DIRECTORY = "/var/spool/fedmsg-relay"
SUFFIX = ".msg"
MAX_FILES = 10_000
MAX_BYTES = 1024 * 1024 * 1024
"""Maximum number of messages, and of their bytes, that a user may have waiting; beyond that a script fails."""

LOOK_ENTRIES = 4 * MAX_FILES
"""Maximum number of entries of the directory that a script looks at: other users may have any number there."""

AHEAD = 2 * 86_400_000_000_000
"""Maximum time, in nanoseconds, that the name of a message may be ahead of the clock, which was then stepped back."""

HEADER = b"fedmsg-spool 1 "

_numbers = count(1)
_newest = 0


class SpoolError(NoRelayError):
    """No relay took the message and it could not be spooled: it was not sent."""


def directory(config: Mapping[str, Any]) -> str:
    """Find the spool of this host.

    Args:
        config: the merged global config; ``relay_spool`` names another place.

    Returns:
        Its path; empty where this user has no spool to write to.

    Raises:
        ConfigError: no directory can have this name.
    """
    path = place(config)
    return path if path and os.access(path, os.W_OK | os.X_OK) else ""


def place(config: Mapping[str, Any]) -> str:
    """Find where the spool of this host is to be.

    Args:
        config: the merged global config; ``relay_spool`` names another place than the usual one.

    Returns:
        Its path; empty where the config wants none.

    Raises:
        ConfigError: no directory can have this name.
    """
    path = config.get("relay_spool", DIRECTORY)
    if not isinstance(path, str) or path[:1] not in {"", "/"} or not is_file_name(path):
        raise ConfigError(
            f"global config: relay_spool must be the absolute path of a directory, or '' for none; it is {path!r}"
        )
    return path


def pending(path: str) -> list[str]:
    """List what waits.

    Args:
        path: of the spool.

    Returns:
        File names, oldest first.
    """
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if is_message(entry))


def others_before(path: str) -> bool:
    """Look whether messages of this user wait, which a message that is sent now would overtake.

    Args:
        path: of the spool.

    Returns:
        Whether a message waits, or may wait: there may be more entries than are looked at.
    """
    seen = 0
    with os.scandir(path) as entries:
        for seen, entry in enumerate(islice(entries, LOOK_ENTRIES), 1):  # noqa: B007 -- how many it were
            if is_message(entry) and _own(entry) is not None:
                return True
    return seen == LOOK_ENTRIES


def is_message(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry may be a message: anybody may put other files there, with names that steer a terminal.

    Args:
        entry: of the spool.
    """
    name = entry.name
    printable = name.isascii() and name.isprintable()  # the same in every locale
    return printable and name.endswith(SUFFIX) and name[0] != "." and entry.is_file(follow_symlinks=False)


def _own(entry: os.DirEntry[str]) -> os.stat_result | None:
    """The state of a file, if it is one of this user."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # delivered in this very moment
    return found if found.st_uid == os.geteuid() else None


def add(path: str, messages: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Put messages into the spool; they are on disk when this returns.

    Args:
        path: of the spool.
        messages: topic and body of each, in order.

    Returns:
        The files' paths.

    Raises:
        SpoolError: the spool is full, or cannot be written. None of the messages stays in it.
    """
    global _newest  # noqa: PLW0603 -- a clock that steps back must not change the order
    files: list[str] = []
    try:
        waiting = _refuse_when_full(path, len(messages), sum(len(topic) + len(body) for topic, body in messages))
        moment = max(_newest, waiting)
        for topic, body in messages:
            _newest = moment = max(time.time_ns(), moment + 1)
            files.append(_write(path, moment, HEADER + b"message\n" + topic + b"\n" + body))
        _sync_directory(path)
    except SpoolError:  # which is an OSError as well
        raise
    except OSError as error:
        delivered = sum(not _take_back(file) for file in files)
        rest = f"{delivered} of {len(messages)} were delivered meanwhile" if delivered else "not sent"
        raise SpoolError(f"the spool {path} cannot be written: {error.strerror}; {rest}") from error
    return files


def _refuse_when_full(path: str, files: int, size: int) -> int:
    """Look what this user has there; return the time in the name of their newest message."""
    present = newest = 0
    latest = time.time_ns() + AHEAD
    with os.scandir(path) as entries:
        for entry in islice(entries, LOOK_ENTRIES):
            if not is_message(entry) or (found := _own(entry)) is None:
                continue
            present += 1
            size += found.st_size
            if entry.name[20:21] == "-" and entry.name[:20].isdecimal() and newest < int(entry.name[:20]) < latest:
                newest = int(entry.name[:20])
    if present + files > MAX_FILES or size > MAX_BYTES:
        raise SpoolError(
            f"the spool {path} is full for this user ({present} messages wait, no room for {files} more); not sent"
        )
    return newest


def _write(path: str, moment: int, content: bytes) -> str:
    # Process and number make the name unique, among threads too.
    name = f"{moment:020d}-{os.getpid()}-{next(_numbers)}{SUFFIX}"
    temporary = os.path.join(path, f".{name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o640)  # whatever the umask: the user that delivers must be able to read it
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, os.path.join(path, name))
    except OSError:
        os.unlink(temporary)
        raise
    return os.path.join(path, name)


def _take_back(file: str) -> bool:
    """Remove a message that may not be on disk; return whether it was still there."""
    try:
        os.unlink(file)
    except OSError:
        return False
    return True


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str, name: str, max_size: int) -> bytes:
    """Read one file of the spool, trusting nothing: anybody may have put it there.

    Args:
        path: of the spool.
        name: the file's.
        max_size: bytes it may have.

    Returns:
        Its content.

    Raises:
        ValueError: it is a link, no regular file, or too large; it says which.
        OSError: it cannot be read.
    """
    descriptor = os.open(os.path.join(path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise ValueError("it is not a regular file with one name")
        if found.st_size > max_size:
            raise ValueError(f"it is larger than {max_size} bytes")
        with open(descriptor, "rb", closefd=False) as file:  # refuses a folder, so not before
            return file.read(max_size)
    finally:
        os.close(descriptor)
