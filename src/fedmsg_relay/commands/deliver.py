"""The delivery of the spool to a relay: each user's messages in order, each once; no user waits for another."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fedmsg_relay import publisher, spool
from fedmsg_relay.commands import spool_file
from fedmsg_relay.commands.undeliverable import FOLDER, Undeliverable
from fedmsg_relay.connection import Message, Sent
from fedmsg_relay.envelope import Json
from fedmsg_relay.errors import ConfigError, NoRelayError, RelayError, say
from fedmsg_relay.inbound import InboundConnection
from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE
from fedmsg_relay.submit import BATCH_BYTES
from fedmsg_relay.submitter import SourceNotAllowedError

LOT = 100
"""Files of one user that go together, unless they have more than ``BATCH_BYTES``."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Pause between two rounds while no relay answers: doubled each time."""

UNREADABLE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO)
"""Errors that are the fault of a file: it is closed to us, a link, or a socket. Others are faults of the host."""

SHORTEST_CLOSE = 0.01
"""Maximum time for closing after a fault, when there is nothing to wait for."""


class NobodyAnswersError(NoRelayError):
    """No relay answers, so the messages of no user can be delivered now."""


class CannotSignError(ConfigError):
    """A message must be signed and the delivery cannot do that; it is not the fault of the message."""


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
        CannotSignError: something stays because it cannot be signed; the rest is delivered.
        SourceNotAllowedError: the relay takes nothing from this host; everything stays.
        RelayError: the spool cannot be read or written, or another process is delivering it.
    """
    run = _Run(config, path, time.monotonic() + patience)
    try:
        with _alone(path):
            run.undeliverable.tidy()
            run.deliver()
    except RelayError:  # which may be an OSError as well
        raise
    except OSError as error:
        raise RelayError(f"spool {path}: {error.strerror}; what is left stays") from error
    return Delivered(run.delivered, run.refused)


class _Run:
    """One run over the spool."""

    def __init__(self, config: Mapping[str, Any], path: str, deadline: float) -> None:
        self.delivered = 0
        self.undeliverable = Undeliverable(path)
        self._left: set[str] = set()
        """Files that can neither be delivered nor set aside, and must not be tried again."""
        self._unsigned: dict[str, CannotSignError] = {}
        """For each user whose messages cannot be signed, the oldest file of theirs that stays for that reason."""
        self._config = config
        self._path = path
        self._deadline = deadline

    @property
    def refused(self) -> int:
        """Messages that no relay will take."""
        return self.undeliverable.messages + len(self._left)

    def deliver(self) -> None:
        """Deliver everything, in rounds: while no relay takes it, after a pause that becomes longer."""
        pause = FIRST_PAUSE
        while waiting := [names for names in _waiting(self._path, self._left) if names[0] not in self._unsigned]:
            before = self.delivered
            try:
                fault = self._round(waiting)
            except SourceNotAllowedError as error:
                raise SourceNotAllowedError(self._summary(error)) from error
            self.undeliverable.make_room()
            if fault is None:
                continue
            if self.delivered > before:
                pause = FIRST_PAUSE
            if time.monotonic() + pause > self._deadline:
                raise NoRelayError(self._summary(fault)) from fault
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        if self._unsigned:
            raise CannotSignError(self._summary(next(iter(self._unsigned.values()))))

    def _summary(self, fault: RelayError) -> str:
        stay = len(spool.pending(self._path))
        return f"{self.delivered} delivered, {self.refused} refused, {stay} stay in {self._path}: {fault}"

    def _round(self, waiting: list[list[str]]) -> NoRelayError | None:
        """Let users take turns with a lot each. A user whose lot is not taken waits for the next round.

        Returns:
            Why something was not taken.
        """
        fault = None
        turns = deque(waiting)
        while turns:
            names = turns.popleft()
            try:
                done = self._deliver_lot(names[:LOT])
            except NobodyAnswersError as error:
                return error
            except CannotSignError:
                continue  # this user's messages keep their order, so the later ones stay as well
            except NoRelayError as error:
                fault = error
            else:
                if rest := names[done:]:
                    turns.append(rest)
        return fault

    def _deliver_lot(self, names: list[str]) -> int:
        """Deliver the first of some files; return how many these were."""
        lot: dict[str, Message] = {}
        size = done = 0
        for name in names:
            done += 1
            try:
                content = spool.read(self._path, name, DEFAULT_MAX_MESSAGE_SIZE + 4096)
                lot[name] = spool_file.read_message(self._config, content, self._sign)
            except FileNotFoundError:
                continue  # its owner took it back
            except CannotSignError as error:
                self._send_lot(lot)
                self._unsigned[name] = error
                raise
            except OSError as error:
                if error.errno not in UNREADABLE:
                    self._send_lot(lot)
                    raise NoRelayError(f"{name} cannot be read now: {error.strerror}") from error
                self._set_aside(name, f"it cannot be read: {error.strerror}")
            except ValueError as error:
                self._set_aside(name, str(error))
            except MemoryError:
                self._send_lot(lot)
                raise NoRelayError(f"there is not enough memory for {name}") from None
            else:
                size += len(content)
            if size > BATCH_BYTES:
                break
        self._send_lot(lot)
        return done

    def _sign(self, wrapped: Json) -> Json:
        """Sign a message, as a shell of this host does; the key is read when the first one needs it."""
        try:
            signer = publisher.signer({**self._config, "cert_prefix": "shell"})
            return signer.sign(wrapped) if signer else wrapped
        except ConfigError as error:
            raise CannotSignError(str(error)) from error

    def _send_lot(self, lot: dict[str, Message]) -> None:
        """Send a lot; if a relay does not take all of it, the rest one by one, to find the message at fault."""
        if not lot:
            return
        sent = self._send(list(lot.values()))
        rest = self._remove(lot, sent.number)
        if sent.fault is None:
            return
        if isinstance(sent.fault, NobodyAnswersError | ConfigError | SourceNotAllowedError):
            raise sent.fault
        if len(lot) > 1:
            for name, message in rest.items():
                self._send_lot({name: message})
        elif isinstance(sent.fault, NoRelayError):
            raise sent.fault
        else:
            self._set_aside(next(iter(rest)), str(sent.fault))

    def _remove(self, lot: dict[str, Message], number: int) -> dict[str, Message]:
        """Remove the first of a lot, which a relay has taken; return the others."""
        for name in list(lot)[:number]:
            with suppress(FileNotFoundError, IsADirectoryError):  # its owner may have made a folder of it meanwhile
                os.unlink(os.path.join(self._path, name))
        self.delivered += number
        return dict(list(lot.items())[number:])

    def _send(self, messages: list[Message]) -> Sent:
        """Give messages to a relay, and leave nothing open of the try."""
        connection = publisher.connection(self._config)
        sent: Sent | None = None
        try:
            left = self._deadline - time.monotonic()
            sent = connection.send(messages, max(1.0, min(publisher.DEFAULT_TIMEOUT, left)))
        finally:
            if sent is None or sent.fault is not None:
                with suppress(NoRelayError):
                    connection.close(SHORTEST_CLOSE)
        if sent.fault is None:
            try:
                # Over inbound only now it is known that the relay has taken them.
                connection.close(publisher.DEFAULT_TIMEOUT)
            except NoRelayError as error:
                return Sent(0, fault=error)
            return sent
        if isinstance(sent.fault, NoRelayError) and not connection.address:
            sent = sent._replace(fault=NobodyAnswersError(str(sent.fault)))
        # Over inbound they were only given to the connection, which is closed.
        return sent._replace(number=0) if isinstance(connection, InboundConnection) else sent

    def _set_aside(self, name: str, why: str) -> None:
        try:
            self.undeliverable.put_message(name)
        except OSError as error:
            self._left.add(name)
            say(f"fedmsg-relay: {self._path}/{name} stays: {why}; it cannot be set aside: {error.strerror}")
        else:
            say(f"fedmsg-relay: {self._path}/{name} is set aside: {why}")


def _waiting(path: str, left: set[str]) -> list[list[str]]:
    """List the files that wait, oldest first, for each user apart; of one user no more than a quota holds."""
    users: dict[int, list[str]] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            if not spool.is_message(entry) or entry.name in left:
                continue
            with suppress(FileNotFoundError):  # its owner took it back
                names = users.setdefault(entry.stat(follow_symlinks=False).st_uid, [])
                names.append(entry.name)
                if len(names) > 2 * spool.MAX_FILES:
                    names.sort()
                    del names[spool.MAX_FILES :]
    return sorted(sorted(names)[: spool.MAX_FILES] for names in users.values() if names)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep others from delivering, by a lock in the folder that only the user that delivers can enter."""
    folder = os.path.join(path, FOLDER)
    try:
        with suppress(FileExistsError):
            os.mkdir(folder, mode=0o700)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise RelayError(f"spool {path}: {FOLDER} is not a folder of user {os.geteuid()}, which delivers the spool")
        descriptor = os.open(
            os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise RelayError(f"spool {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RelayError(f"spool {path}: another process is delivering it") from error
    finally:
        os.close(descriptor)
