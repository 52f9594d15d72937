"""Delivers the spool to a relay: in order, each message once, with patience."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fedmsg_relay import client, spool
from fedmsg_relay.errors import NoRelayError, NotWellFormedError, RefusedError, RelayError, say
from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE, fault

LOT = 100
LOT_BYTES = 1024 * 1024
"""Files, and bytes, that go together."""

LEFTOVER_SECONDS = 3600.0
"""Age at which a file that was never finished is removed."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two tries while no relay answers: doubled each time."""

SET_ASIDE = "refused"
"""Folder within the spool for what no relay will ever take; an operator looks at it, nothing else does."""

ASIDE_FILES, ASIDE_BYTES = 1000, 256 * 1024 * 1024
"""What that folder holds at most, once a lot is delivered: what was set aside first makes room."""


class Delivered(NamedTuple):
    """What became of the spool.

    Attributes:
        delivered: messages a relay has taken.
        refused: files set aside.
    """

    delivered: int
    refused: int


def deliver(config: Mapping[str, Any], path: str, patience: float) -> Delivered:
    """Deliver everything that is in the spool.

    Args:
        config: the merged global config.
        path: of the spool.
        patience: seconds to go on trying while no relay answers.

    Returns:
        What became of it.

    Raises:
        NoRelayError: no relay answered in that time; what is left stays, in order.
        RelayError: the spool can not be read, or somebody else is delivering it.
    """
    client.refuse_to_sign(config)
    run = _Run(config, path, time.monotonic() + patience)
    with _alone(path):
        run.remove_leftovers()
        while names := [name for name in spool.pending(path) if name not in run.left]:
            run.deliver(names[:LOT])
            run.make_room_aside()
    return Delivered(run.delivered, run.refused + len(run.left))


class _Run:
    """One run over the spool; ``left`` is what it could neither deliver nor set aside, and must not try again."""

    def __init__(self, config: Mapping[str, Any], path: str, deadline: float) -> None:
        self.delivered = self.refused = 0
        self.left: set[str] = set()
        self._config = config
        self._path = path
        self._aside = os.path.join(path, SET_ASIDE)
        self._deadline = deadline

    def deliver(self, names: list[str]) -> None:
        """Deliver some files as one batch; where it is refused, one by one, to find which."""
        readable: dict[str, tuple[bytes, bytes]] = {}
        size = 0
        for name in names:
            try:
                content = spool.read(self._path, name, DEFAULT_MAX_MESSAGE_SIZE + 4096)
                readable[name] = _message(self._config, content)
            except FileNotFoundError:
                continue  # its owner took it back
            except OSError as error:
                self._set_aside(name, f"it can not be read: {error.strerror}")
            except ValueError as error:
                self._set_aside(name, str(error))
            else:
                size += len(content)
            if size > LOT_BYTES:
                break
        if not readable:
            return
        try:
            self._send(list(readable.values()))
        except (NotWellFormedError, RefusedError) as error:
            if len(readable) == 1:
                self._set_aside(next(iter(readable)), str(error))
                return
            for name in readable:
                self.deliver([name])
            return
        for name in readable:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._path, name))
        self.delivered += len(readable)

    def remove_leftovers(self) -> None:
        """Remove what scripts that were killed had begun to write, long ago."""
        begun = [e for e in os.scandir(self._path) if e.name.startswith(".") and e.name.endswith(spool.SUFFIX)]
        for entry in begun:
            with suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFTOVER_SECONDS:
                    os.unlink(entry.path)

    def make_room_aside(self) -> None:
        """Remove what was set aside first, as far as it is too much."""
        aside = []
        for entry in _files(self._aside):
            with suppress(FileNotFoundError):  # an operator is removing it
                found = entry.stat(follow_symlinks=False)
                # The change time is that of the renaming; names are anybody's choice.
                aside.append((found.st_ctime_ns, entry.path, found.st_size))
        kept = removed = 0
        for number, (_, path, size) in enumerate(sorted(aside, reverse=True)):
            kept += size
            if number >= ASIDE_FILES or kept > ASIDE_BYTES:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                removed += 1
        if removed:
            limit = f"{ASIDE_FILES} files and {ASIDE_BYTES >> 20} MiB"
            say(f"fedmsg-relay: {self._aside}: removed the {removed} oldest: it holds at most {limit}")

    def _send(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Hand messages to a relay, trying again while there is time."""
        pause = FIRST_PAUSE
        while True:
            connection = client.connection(self._config)
            try:
                left = self._deadline - time.monotonic()
                connection.send(messages, max(1.0, min(client.DEFAULT_TIMEOUT, left)))
                # Over inbound only now it is known that the connection has taken them.
                connection.close(client.DEFAULT_TIMEOUT)
            except NoRelayError as error:
                if time.monotonic() + pause > self._deadline:
                    waiting = len(spool.pending(self._path))
                    summary = f"{self.delivered} delivered, {self.refused} refused, {waiting} stay in {self._path}"
                    raise NoRelayError(f"{summary}: {error}") from error
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _set_aside(self, name: str, why: str) -> None:
        try:
            os.rename(os.path.join(self._path, name), os.path.join(self._aside, name))
        except OSError as error:
            self._leave(name, f"{why}; it can not be set aside: {error.strerror}")
        else:
            self.refused += 1
            say(f"fedmsg-relay: {self._path}/{name} is set aside: {why}")

    def _leave(self, name: str, why: str) -> None:
        self.left.add(name)
        say(f"fedmsg-relay: {self._path}/{name} stays: {why}")


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, but no folders and nothing hidden."""
    with os.scandir(folder) as entries:
        yield from (e for e in entries if e.name[0] != "." and not e.is_dir(follow_symlinks=False))


def _message(config: Mapping[str, Any], content: bytes) -> tuple[bytes, bytes]:
    """Read what a file holds; raises ValueError (NotWellFormedError is one) where that is no message."""
    if not content.startswith(spool.HEADER):
        raise ValueError("no file of a spool")
    kind, _, rest = content[len(spool.HEADER) :].partition(b"\n")
    if kind == b"message":
        topic, newline, body = rest.partition(b"\n")
        if not newline:
            raise ValueError("no body")
        if reason := fault(topic, body):
            raise ValueError(reason)
        return topic, body
    if kind != b"msg":
        raise ValueError("a kind of file that this version does not know")
    fields = rest.split(b"\n", 5)
    if len(fields) != 6:
        raise ValueError("lines are missing")
    modname, name, timestamp, msg_id, username = (field.decode() for field in fields[:5])
    try:
        msg = json.loads(fields[5])
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    wrapped = client.envelope(config, 1, name, msg, modname)
    wrapped.update(timestamp=int(timestamp), msg_id=msg_id, username=username)
    return client.encode(wrapped)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep others from delivering: by a lock in the folder that only who delivers can enter."""
    aside = os.path.join(path, SET_ASIDE)
    try:
        with suppress(FileExistsError):
            os.mkdir(aside, mode=0o700)
        found = os.lstat(aside)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise RelayError(f"spool {path}: {SET_ASIDE} is not a folder of {os.geteuid()}, who delivers it")
        descriptor = os.open(os.path.join(aside, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RelayError(f"spool {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RelayError(f"spool {path}: somebody else is delivering it") from error
    finally:
        os.close(descriptor)
