"""A CA and two signers for the scripts of a host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from run_ca import Ca

from fedmsg_relay.envelope import canonical
from harness import Host, Ran, wait_until
from stock_trust import StockTrust
from wire import Listener

SHORT = os.uname().nodename.partition(".")[0]
SHELL, SCM = "shell-app01.example.org", "scm-app01.example.org"
FORKING = ("python", "-W", "ignore:This process:DeprecationWarning")
"""Python 3.12 and newer warn of each fork of a process that has threads."""


class Trust:
    """A CA with two signers, and stock's opinion of what they sign."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ca = Ca(directory)
        ca.init()
        for name in (SHELL, SCM):
            ca.issue(name)
        self.stock = StockTrust()
        self._files = str(directory / "ca.crt"), str(directory / "crl.pem")

    def settings(self, **more: object) -> dict[str, Any]:
        return {
            "sign_messages": True,
            "ssldir": str(self.directory),
            "certnames": {f"shell.{SHORT}": SHELL, f"scm.{SHORT}": SCM},
            "ca_cert_location": self._files[0],
            "crl_location": self._files[1],
            "crypto_validate_backends": ["x509"],
            "routing_policy": {},
            **more,
        }

    def configure(self, host: Host, **more: object) -> None:
        """Let the scripts of a host sign."""
        host.write("fedmsg.d/sign.py", f"config = {self.settings(**more)!r}\n")

    def expect_signed(self, body: bytes, name: str = SHELL) -> dict[str, Any]:
        """The body is valid, and is what stock makes of the same envelope; get that."""
        assert self.stock.validate(body.decode(), *self._files) is True
        fields: dict[str, Any] = json.loads(body)
        envelope = {key: fields[key] for key in fields if key not in ("crypto", "signature", "certificate")}
        assert body.decode() == self.stock.sign(canonical(envelope).decode(), str(self.directory), name)
        return envelope


def heard(listener: Listener, count: int) -> list[bytes]:
    wait_until(lambda: len(listener.hear(0.1)) >= count, f"{count} message(s)")
    bodies = [frames[1] for frames in listener.messages]
    listener.forget()
    assert len(bodies) == count
    return bodies


def succeed(ran: Ran) -> str:
    assert (ran.code, ran.stderr) == (0, "")
    return ran.stdout


def python(host: Host, code: str) -> Ran:
    return host.run(*FORKING, "-c", f"import fedmsg_relay as fedmsg\n{code}")
