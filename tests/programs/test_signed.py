"""Every way in which a host sends a message signs it, as stock does; a host that cannot sign sends nothing."""

from __future__ import annotations

import contextlib
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
from run_ca import Ca

import stock
from certificates import rsa_key
from fedmsg_relay.envelope import canonical
from fedmsg_relay.errors import EX_CONFIG, EX_DATAERR
from harness import Host, Ran, wait_until
from sites import Site, chained
from spooled import WAYS, deliver, log, message, publish, put, shell, waiting
from stock_trust import StockTrust
from wire import Bus, Listener, Sockets, StartBus, join

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


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trust]:
    trust = Trust(tmp_path_factory.mktemp("pki"))
    with contextlib.closing(trust.stock):
        yield trust


@pytest.fixture(params=["submit", "inbound"])
def signing_bus(request: pytest.FixtureRequest, trust: Trust, host: Host, start_bus: StartBus) -> Bus:
    if request.param == "submit":
        host.configure_submit()
    trust.configure(host)
    return start_bus()


@pytest.fixture
def submit_signing_bus(trust: Trust, submit_bus: Bus) -> Bus:
    trust.configure(submit_bus.host)
    return submit_bus


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


# What is sent.


def test_the_logger_signs(signing_bus: Bus, trust: Trust) -> None:
    host = signing_bus.host
    succeed(log(host, "one"))
    succeed(host.run("fedmsg-logger", stdin="two\nthree é\n"))
    succeed(host.run("fedmsg-logger", "--json-input", stdin='{"b": 1.0, "a": [NaN, 1e400, "\\ud800"]}'))
    msgs = [trust.expect_signed(body)["msg"] for body in heard(signing_bus.listener, 4)]
    assert msgs[:3] == [{"log": "one"}, {"log": "two"}, {"log": "three é"}]
    succeed(host.run("fedmsg-logger", "--message=x", "--cert-prefix=scm"))
    trust.expect_signed(heard(signing_bus.listener, 1)[0], SCM)


def test_the_logger_takes_the_prefix_of_its_option_else_of_the_config(submit_signing_bus: Bus, trust: Trust) -> None:
    host = submit_signing_bus.host
    trust.configure(host, cert_prefix="scm")
    for options, name in (([], SCM), (["--cert-prefix", "shell"], SHELL)):
        succeed(host.run("fedmsg-logger", "--message=x", *options))
        trust.expect_signed(heard(submit_signing_bus.listener, 1)[0], name)


PUBLISH = """
import datetime
class Commit:
    def __json__(self):
        return {'rev': 'abc'}
fedmsg.publish('x', {'n': 1}, 'm')
fedmsg.publish('x', {'when': datetime.date(2026, 1, 2), 'commit': Commit(), 'keys': {10: 1, 9: 2}}, 'm')
fedmsg.destroy()
fedmsg.init(name='relay_inbound', cert_prefix='scm')
fedmsg.publish('x', None, 'm')
"""


def test_publish_signs(signing_bus: Bus, trust: Trust) -> None:
    succeed(python(signing_bus.host, PUBLISH))
    first, second, third = heard(signing_bus.listener, 3)
    assert trust.expect_signed(first)["msg"] == {"n": 1}
    assert trust.expect_signed(second)["msg"]["keys"] == {"10": 1, "9": 2}
    assert trust.expect_signed(third, SCM)["msg"] == {}


def test_a_stock_listener_that_validates_hears_ours_and_nothing_unsigned(host: Host, trust: Trust, bus: Bus) -> None:
    trust.configure(host, validate_signatures=True)
    tail = stock.StockTail(host)

    def hears_ours() -> bool:
        succeed(log(host, "from now on"))
        return bool(tail.printed())

    wait_until(hears_ours, "the tail has subscribed")
    trust.configure(host, sign_messages=False)
    succeed(log(host, "unsigned"))
    trust.configure(host)
    succeed(log(host, "the last"))
    wait_until(lambda: "'log': 'the last'" in "".join(tail.printed()), "the last message")
    assert "unsigned" not in "".join(tail.printed())
    assert any(b"unsigned" in frames[1] for frames in bus.listener.hear(0.1))


CHANGES = {
    "nothing": "print(message['signature'][:0] or message['crypto'])",
    "a value": "message['msg']['n'] = 2",
    "a new field": "message['new'] = {2: datetime.date(2026, 1, 2)}",
    "no signature any more": "del message['signature'], message['certificate'], message['crypto']",
    "another signature": "message.update(signature='AAAA', certificate='', crypto='gpg')",
}


def test_what_a_hook_changes_is_signed_as_well(submit_signing_bus: Bus, trust: Trust) -> None:
    code = "import datetime\n"
    for number, change in enumerate(CHANGES.values()):
        code += f"def hook(message):\n    {change}\nfedmsg.publish('x', {{'n': {number}}}, 'm', pre_fire_hook=hook)\n"
    assert succeed(python(submit_signing_bus.host, code)) == "x509\n"
    envelopes = [trust.expect_signed(body) for body in heard(submit_signing_bus.listener, len(CHANGES))]
    assert [envelope["msg"]["n"] for envelope in envelopes] == [0, 2, 2, 3, 4]
    assert [*envelopes[2]["new"]] == ["2"]


def test_a_spooled_message_is_signed_and_one_of_the_shell_at_delivery(
    host: Host, trust: Trust, start_bus: StartBus
) -> None:
    host.configure_submit()
    trust.configure(host)
    for way, send in WAYS.items():
        assert send(host, way).code == 0
    for path in waiting(host)[:2]:
        trust.expect_signed(path.read_bytes().split(b"\n", 2)[2])
    put(host, shelled("-0.0, NaN"), f"{10**19 - 1:020d}-1-1.msg")
    bus = start_bus()
    assert succeed(deliver(host)) == "delivered 4, refused 0\n"
    bodies = heard(bus.listener, 4)
    logs = [trust.expect_signed(body)["msg"]["log"] for body in bodies]
    assert logs[:3] == [*WAYS]
    assert b'"msg":{"a":1,"log":[-0.0,NaN]}' in bodies[3]


def shelled(value: str) -> bytes:
    """A file of fedmsg-spool."""
    return b'fedmsg-spool 1 msg\nm\nx\n1\n2026-x\nsomebody\n{"log": [%s], "a" : 1}\n' % value.encode()


def test_what_cannot_be_a_message_is_set_aside_when_it_would_be_signed(submit_signing_bus: Bus) -> None:
    host = submit_signing_bus.host
    for number, value in enumerate(("[" * 850 + "]" * 850, "[" * 950 + "]" * 950, "1, nonsense", "1" * 5000)):
        put(host, shelled(value), f"{number:020d}-1-1.msg")
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (EX_DATAERR, "delivered 1, refused 3\n")
    assert ran.stderr.count("is set aside: ") == 3


CHILDREN = 4
FORKS = """
import multiprocessing, os
def work(n):
    fedmsg.publish('x', {'n': n}, 'm')
fedmsg.publish('x', {'n': -1}, 'm')
for path in FILES:
    os.unlink(path)
if not os.fork():
    work(-2)
    os._exit(0)
os.wait()
with multiprocessing.get_context('fork').Pool(2) as pool:
    pool.map(work, range(CHILDREN))
"""


def test_children_of_a_fork_sign_with_the_key_that_was_read_once(
    signing_bus: Bus, trust: Trust, tmp_path: Path
) -> None:
    files = []
    for suffix in ("key", "crt"):
        files.append(str(tmp_path / f"{SHELL}.{suffix}"))
        Path(files[-1]).write_bytes((trust.directory / f"{SHELL}.{suffix}").read_bytes())
    trust.configure(signing_bus.host, ssldir=str(tmp_path))
    succeed(python(signing_bus.host, f"CHILDREN, FILES = {CHILDREN}, {files}\n{FORKS}"))
    bodies = heard(signing_bus.listener, CHILDREN + 2)
    assert sorted(trust.expect_signed(body)["msg"]["n"] for body in bodies) == [-2, -1, *range(CHILDREN)]


AMID = """
import os, signal, threading, time
from fedmsg_relay import signing
class Key:
    lock = threading.Lock()
    signing = threading.Event()
    def sign(self, *_):
        with self.lock:  # as OpenSSL has one
            self.signing.set()
            time.sleep(0.3)
        return b''
signer = signing.signer({'certnames': {'a': 'NAME'}, 'name': 'a', 'ssldir': 'DIRECTORY'})
signer._key = Key()
for _ in range(2):
    Key.signing.clear()
    threading.Thread(target=signer.sign, args=({},)).start()
    Key.signing.wait()
    child = os.fork()
    if not child:
        signal.alarm(25)  # a child that hangs is killed
        signer.sign({})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_while_a_thread_signs_does_not_hang_the_child(host: Host, trust: Trust) -> None:
    code = AMID.replace("NAME", SHELL).replace("DIRECTORY", str(trust.directory))
    succeed(host.run(*FORKING, "-c", code))


def test_signatures_stay_valid_through_a_chained_relay(old: Site, new: Site, sockets: Sockets, trust: Trust) -> None:
    chained(old, new)
    listeners = [sockets.listener(site.host.outbound) for site in (old, new)]
    join(sockets.publisher(old.host.inbound), *listeners)
    for site in (old, new):
        trust.configure(site.host)
    succeed(log(old.host, "x" * 1000))
    succeed(publish(new.host, "at the end of the chain"))
    assert shell(old.host, "shell").code == 0
    assert succeed(deliver(old.host)) == "delivered 1, refused 0\n"
    for listener in listeners:
        assert len([trust.expect_signed(body) for body in heard(listener, 3)]) == 3


def test_the_probe_is_not_signed(submit_signing_bus: Bus, trust: Trust) -> None:
    trust.configure(submit_signing_bus.host, certnames={})
    assert submit_signing_bus.host.run("fedmsg-relay", "probe").code == 0


# What cannot be signed.


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


def test_who_cannot_sign_sends_nothing_and_spools_nothing(
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
def test_a_key_that_may_not_be_read_is_named_with_who_may(mode: int, readers: str, open_directory: Path) -> None:
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


# check-config.


def test_check_config_says_as_what_this_user_signs(host: Host, trust: Trust) -> None:
    def says() -> tuple[list[str], Any]:
        lines = succeed(host.run("fedmsg-relay", "check-config", "--scripts")).splitlines()
        assert lines[-1] == "OK"
        told = json.loads(succeed(host.run("fedmsg-relay", "check-config", "--json")))
        assert told["ok"]
        return [line for line in lines if " sign" in line], told["sign"]

    assert says() == ([], None)
    key = f"{trust.directory}/{SHELL}.key"
    files = {"key": key, "certificate": f"{trust.directory}/{SHELL}.crt"}
    trust.configure(host)
    assert says() == ([f"would sign as {SHELL} with {key}"], {"name": SHELL, **files})
    trust.configure(host, certnames={f"shell.{SHORT}": "gone"})
    fault = f"cannot sign: there is no {trust.directory}/gone.key"
    assert says() == ([fault], {"fault": fault})
