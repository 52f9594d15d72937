"""A site that signs: a CA, signers, and the config and settings of hosts that use them."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from bus import Bus, StartBus
from certificates import DAY, NOW, Pair, TestCa, rsa_key
from harness import Host, wait_until
from messages import Message

HOST = os.uname().nodename.partition(".")[0]
SHELL, SCM = "shell-app01.example.org", "scm-app01.example.org"
TOPIC = "org.example.test.signed"
MARKS = "org.example.test.mark"
"""What the harness sends to see that all are connected, and does not sign."""


class Pki:
    """The directory of keys and certificates of a site."""

    def __init__(self, directory: Path, key: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.certificate_authority = TestCa(key=rsa_key(key), start=NOW - 100 * DAY, end=NOW + 1000 * DAY)
        self.revoked: list[int] = []
        self.ca, self.crl = directory / "ca.crt", directory / "crl.pem"
        self.signers = {name: self.issue(name, number) for number, name in enumerate((SHELL, SCM))}
        self.write_ca()
        self.write_crl()

    def issue(self, name: str, number: int = 1) -> Pair:
        pair = self.certificate_authority.issue(name, number, start=NOW - 100 * DAY, end=NOW + 1000 * DAY)
        key = pair.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.directory / f"{name}.key").write_bytes(key)
        (self.directory / f"{name}.crt").write_bytes(pair.pem)
        return pair

    def write_ca(self) -> None:
        self.ca.write_bytes(self.certificate_authority.pem)

    def write_crl(self, start: datetime = NOW - 100 * DAY, end: datetime = NOW + 1000 * DAY) -> None:
        self.crl.write_bytes(self.certificate_authority.crl(*self.revoked, start=start, end=end))

    def revoke(self, name: str) -> None:
        self.revoked.append(self.signers[name].certificate.serial_number)
        self.write_crl()

    def configure(self, host: Host, **more: object) -> None:
        """Write the part of the global config that is about signatures; scripts of the host sign."""
        config: dict[str, Any] = {
            "sign_messages": True,
            "validate_signatures": True,
            "ssldir": str(self.directory),
            "certnames": {f"shell.{HOST}": SHELL, f"scm.{HOST}": SCM},
            "ca_cert_location": str(self.ca),
            "crl_location": str(self.crl),
            "crypto_validate_backends": ["x509"],
            "routing_policy": {},
            **more,
        }
        host.write("fedmsg.d/sign.py", f"config = {config!r}\n")

    def sign(self, number: int, name: str = SHELL, topic: str = TOPIC, **fields: object) -> Message:
        """A message that a signer has signed; of each number there is one."""
        envelope = {"topic": topic, "msg": {"n": number}, "i": number, "timestamp": 1, "msg_id": f"2026-{number}"}
        return topic.encode(), self.signers[name].sign({**envelope, **fields})

    def signed(self, count: int, start: int = 0) -> list[Message]:
        return [self.sign(number) for number in range(start, start + count)]


def settings(host: Host, signatures: str, more: str = "", exempt: tuple[str, ...] = (MARKS,)) -> None:
    """Write relay.toml."""
    host.write("relay.toml", f'[trust]\nsignatures = "{signatures}"\nexempt = {json.dumps(exempt)}\n{more}')


def unsigned(message: Message) -> Message:
    """The same without its signature."""
    fields = {key: value for key, value in json.loads(message[1]).items() if key not in {"signature", "certificate"}}
    return message[0], json.dumps(fields).encode()


def forged(message: Message) -> Message:
    """The same, changed after it was signed."""
    return message[0], message[1].replace(b'"n":', b'"forged":1,"n":')


def start(host: Host, pki: Pki, start_bus: StartBus, signatures: str, **config: object) -> Bus:
    """Start a bus whose scripts sign, and whose relay does this about signatures."""
    host.configure_submit()
    pki.configure(host, **config)
    settings(host, signatures)
    return start_bus()


def counted(bus: Bus, **expected: int) -> None:
    """The counters are these soon; what a listener hears is counted only after it is out."""

    def found() -> bool:
        messages = bus.relay.messages()
        return {name: messages[name] for name in expected} == expected

    wait_until(found, f"the counters are {expected}")
