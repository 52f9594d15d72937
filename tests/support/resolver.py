"""Names that resolve as a test wants, which takes root: from a file, or else by a name server that stays silent."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import Host, Ran, locate

_MOUNT = 'for f in hosts resolv.conf nsswitch.conf; do mount --bind "$0/$f" "/etc/$f" || exit 125; done; exec "$@"'


class Resolver:
    """The names that the commands of a host know; its name server takes every question and never answers.

    A program that waits for an answer does so for 150 s.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._etc = host.directory / "etc"
        # An address of its own for each test process, as the port is given.
        address = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
        self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._server.bind((address, 53))
        except PermissionError:
            pytest.fail("these tests bind port 53 and mount files of /etc, and so need root", pytrace=False)
        host.write("etc/resolv.conf", f"nameserver {address}\noptions timeout:30 attempts:5\n")
        host.write("etc/nsswitch.conf", "hosts: files dns\n")
        self.know()

    def know(self, **addresses: str) -> None:
        """These names have these addresses from now on."""
        # In place: what is mounted is this very file.
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
        self._host.write("etc/hosts", "".join(f"{line}\n" for line in lines))

    def asked(self) -> bool:
        """Whether the name server was asked something."""
        self._server.setblocking(False)
        try:
            return bool(self._server.recv(512))
        except BlockingIOError:
            return False

    def wrap(self, *command: str | Path) -> list[str | Path]:
        """The command as it runs where names resolve like this."""
        return ["/usr/bin/unshare", "--mount", "sh", "-c", _MOUNT, self._etc, locate(command[0]), *command[1:]]

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        ran = self._host.run(*self.wrap(*command), env=env)
        assert ran.code != 125, f"these tests mount files of /etc, and so need root: {ran.stderr}"
        return ran

    def close(self) -> None:
        self._server.close()
