"""A program that is not a web process of fedmsg-relay, at the address of one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from harness import Host


class Impostor:
    """It answers every request with the same bytes, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:{1}".format(*self._socket.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    self.say(connection)

    def say(self, connection: socket.socket) -> None:
        connection.sendall(self.answer)


@contextmanager
def impostors(host: Host, *answers: bytes) -> Iterator[list[Impostor]]:
    """A host whose config names some of these, each with its answer."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(Impostor(answer)) for answer in answers]
        host.write("fedmsg.d/web.py", f"config = {{'relay_web': {[one.url for one in found]!r}}}\n")
        yield found
