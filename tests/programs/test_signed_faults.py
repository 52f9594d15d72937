"""A host that cannot sign sends nothing, and says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bus import Bus, StartBus
from certificates import rsa_key
from fedmsg_relay.errors import EX_CONFIG
from harness import Host
from signing import SHELL, SHORT, Trust, heard, python, succeed
from spooled import deliver, log, message, put, shell, shelled, waiting


def pem(key: Any, lock: serialization.KeySerializationEncryption | None = None) -> bytes:
    lock = lock or serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    return text


FAULTS: dict[str, tuple[dict[str, Any], Callable[[], bytes] | None, str]] = {
    "no certnames": ({"certnames": {}}, None, f"certnames['shell.{SHORT}'] must name"),
    "no such files": ({"certnames": {f"shell.{SHORT}": "gone"}}, None, "there is no {pki}/gone.key"),
    "gpg": ({"crypto_backend": "gpg"}, None, "crypto_backend is 'gpg'"),
    "encrypted": (
        {},
        lambda: pem(rsa_key(), serialization.BestAvailableEncryption(b"secret")),
        f"the key {{pki}}/{SHELL}.key is encrypted",
    ),
    "not RSA": ({}, lambda: pem(ec.generate_private_key(ec.SECP256R1())), f"{{pki}}/{SHELL}.key is not an RSA key"),
    "of another certificate": ({}, lambda: pem(rsa_key()), f"{SHELL}.key does not belong to the certificate {{pki}}/"),
    "a file that cannot be": ({"certnames": {f"shell.{SHORT}": "a\0"}}, None, "is not the name of a file"),
}


@pytest.fixture(params=FAULTS)
def unable(request: pytest.FixtureRequest, tmp_path: Path, trust: Trust, host: Host) -> tuple[Host, str]:
    """A host with a spool that cannot sign, and why."""
    more, key, said = FAULTS[request.param]
    (tmp_path / f"{SHELL}.crt").write_bytes((trust.directory / f"{SHELL}.crt").read_bytes())
    (tmp_path / f"{SHELL}.key").write_bytes(key() if key else (trust.directory / f"{SHELL}.key").read_bytes())
    host.configure_submit()
    trust.configure(host, **{"ssldir": str(tmp_path), **more})
    return host, said.format(pki=tmp_path)


CATCH = """
import sys
try:
    fedmsg.publish('x', {}, 'm')
except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def test_a_user_that_cannot_sign_sends_nothing_and_spools_nothing(
    unable: tuple[Host, str], start_bus: StartBus, trust: Trust
) -> None:
    host, said = unable
    bus = start_bus()
    for ran in (log(host, "x"), host.run("fedmsg-logger", stdin="a\nb\n"), python(host, CATCH)):
        assert ran.code == EX_CONFIG
        assert said in ran.one_error_line()
        assert waiting(host) == []
    assert shell(host, "it stays").code == 0
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (EX_CONFIG, "")
    assert ran.one_error_line().startswith(f"fedmsg-relay: 0 delivered, 0 refused, 1 stay in {host.spool}: cannot sign")
    assert said in ran.stderr
    assert len(waiting(host)) == 1
    trust.configure(host)
    assert succeed(deliver(host)) == "delivered 1, refused 0\n"
    assert trust.expect_signed(heard(bus.listener, 1)[0])["msg"] == {"log": "it stays"}


@pytest.mark.usefixtures("root")
def test_a_message_that_cannot_be_signed_keeps_back_its_user_alone(submit_signing_bus: Bus, trust: Trust) -> None:
    host = submit_signing_bus.host
    trust.configure(host, certnames={})
    put(host, message("before"), f"{1:020d}-1-1.msg")
    put(host, shelled("1"), f"{2:020d}-1-1.msg")
    put(host, message("behind"), f"{3:020d}-1-1.msg")
    os.chown(put(host, message("another user's"), f"{4:020d}-1-1.msg"), 65534, 65534)
    ran = deliver(host)
    assert ran.code == EX_CONFIG
    assert "2 delivered, 0 refused, 2 stay" in ran.one_error_line()
    trust.configure(host)
    assert succeed(deliver(host)) == "delivered 2, refused 0\n"
    logs = [json.loads(body)["msg"]["log"] for body in heard(submit_signing_bus.listener, 4)]
    assert logs == ["before", "another user's", [1], "behind"]


UNREADABLE = """
import grp, os, pwd, sys  # nobody may not be able to look into the directory of the others
from fedmsg_relay import signing
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    signing.signer({"ssldir": sys.argv[1], "certnames": {"a": "a"}, "name": "a"})
except signing.ConfigError as error:
    print(error)
"""


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory into which every user may look."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def refused_to_nobody(directory: Path) -> str:
    command = [sys.executable, "-c", UNREADABLE, str(directory)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize(("mode", "readers"), [(0o240, "group {group}"), (0o200, "root alone")])
def test_a_key_that_may_not_be_read_is_named_with_its_readers(mode: int, readers: str, open_directory: Path) -> None:
    key = open_directory / "a.key"
    key.touch()
    key.chmod(mode)
    said = refused_to_nobody(open_directory)
    readers = readers.format(group=key.group())
    assert said.startswith(f"cannot sign: {key}: Permission denied; readable for {readers}, and this is user ")


def test_a_directory_that_may_not_be_looked_into_is_named(open_directory: Path) -> None:
    inner = open_directory / "pki"
    inner.mkdir(mode=0)
    said = refused_to_nobody(inner)
    assert said.startswith(f"cannot sign: {inner}/a.key: Permission denied; this is user ")
    assert said.endswith(f"who may not look into {inner}")


def test_without_cryptography_the_logger_says_which_package_is_missing(host: Host, trust: Trust) -> None:
    trust.configure(host)
    host.write("without/cryptography/__init__.py", "raise ImportError('not here')\n")
    ran = host.run(
        "python", "-c", "from fedmsg_relay.logger import main; main()", "--message=x", env={"PYTHONPATH": "without"}
    )
    assert ran.code == EX_CONFIG
    assert "the Python package cryptography" in ran.one_error_line()
