"""Every way in which a host sends a message signs it, as stock does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import stock
from bus import Bus, StartBus, join
from fedmsg_relay.errors import EX_DATAERR
from harness import Host, wait_until
from signing import FORKING, SCM, SHELL, SHORT, Trust, heard, python, succeed
from sites import Site, chained
from spooled import WAYS, deliver, log, publish, put, shell, shelled, waiting
from wire import Sockets


@pytest.fixture(params=["submit", "inbound"])
def signing_bus(request: pytest.FixtureRequest, trust: Trust, host: Host, start_bus: StartBus) -> Bus:
    if request.param == "submit":
        host.configure_submit()
    trust.configure(host)
    return start_bus()


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
