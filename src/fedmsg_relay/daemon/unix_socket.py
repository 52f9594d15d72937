"""A Unix socket on which the relay answers programs of its own host, in a thread, so that a busy relay answers too."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from fedmsg_relay.errors import ConfigError
from fedmsg_relay.runtime import threads
from fedmsg_relay.runtime.log import log

RETRY_SECONDS = 1.0
"""Time after which the relay tries again to let a client in, when no file descriptor was left for it."""

PATIENCE_SECONDS = 2.0
"""Maximum time for which a client that does not read or write holds up the next one."""


class UnixServer:
    """Answers one client after another until closed.

    Args:
        name: of the thread, and for messages.
        path: of the socket.
        mode: which users may connect, as for a file.
        answer: answers a client.

    Raises:
        ConfigError: the socket cannot be made.
    """

    def __init__(self, name: str, path: Path, mode: int, answer: Callable[[socket.socket], None]) -> None:
        self._name = name
        self._path = path
        self._answer = answer
        if _answers(path):
            raise ConfigError(f"{name} socket {path}: another relay answers there")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # left by a relay that was killed
            # Before it is bound, so that there is no moment in which others may connect.
            os.fchmod(self._socket.fileno(), mode)
            self._socket.bind(str(path))
            path.chmod(mode)  # more than the umask leaves
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"{name} socket {path}: {error.strerror or error}") from error
        self._closed = threading.Event()
        self._socket.listen(16)
        threads.start(name, self._serve)

    def _serve(self) -> None:
        fault = ""
        while not self._closed.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError as error:
                if not self._closed.wait(RETRY_SECONDS) and str(error) != fault:
                    fault = str(error)
                    log.error("%s cannot be answered, trying again: %s", self._name, error.strerror)
                continue
            fault = ""
            with client:
                client.settimeout(PATIENCE_SECONDS)
                try:
                    self._answer(client)
                except OSError as error:
                    log.info("%s: the client left: %s", self._name, error)

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._closed.set()
        self._path.unlink(missing_ok=True)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(str(path))
        except OSError:  # also a path that is too long, which bind reports
            return False
        return True
