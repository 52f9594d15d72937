"""Stock fedmsg on one side of the wire and ours on the other, both ways."""

from __future__ import annotations

import json

import pytest

import stock
from bus import Bus, join
from harness import COMMANDS, Host, wait_until
from messages import envelope
from relays import Relay
from wire import Listener, Sockets

PUBLISH = """
import fedmsg
for n in range(5):
    fedmsg.publish(topic='active', modname='test', msg={'n': n}, active=True, post_init_sleep=2)
"""


def logged(listener: Listener, count: int) -> list[object]:
    wait_until(lambda: len(listener.hear(0.1)) >= count, f"{count} message(s)")
    taken = [json.loads(body)["msg"] for _, body in listener.messages]
    listener.forget()
    assert len(taken) == count
    return taken


@pytest.fixture
def tail(bus: Bus) -> stock.StockTail:
    tail = stock.StockTail(bus.host)
    join(bus.publisher, bus.listener, tail)
    return tail


def test_stock_scripts_reach_stock_and_raw_listeners_through_our_relay(bus: Bus, tail: stock.StockTail) -> None:
    stock.logger(bus.host, stdin="one\ntwo\n")
    stock.logger(bus.host, "--json-input", stdin='{"three": 3}')
    stock.python(bus.host, PUBLISH)
    expected = [{"log": "one"}, {"log": "two"}, {"three": 3}, *({"n": n} for n in range(5))]
    wait_until(lambda: len(bus.listener.hear(0.1)) >= len(expected), "all messages")
    heard = [(topic, body) for topic, body in bus.listener.messages]
    assert [json.loads(body)["msg"] for _, body in heard] == expected
    tail.expect(heard)


def test_our_scripts_reach_stock_listeners_through_our_relay(bus: Bus, tail: stock.StockTail) -> None:
    assert bus.host.run("fedmsg-logger", stdin="one\ntwo\n").code == 0
    assert logged(bus.listener, 2) == [{"log": "one"}, {"log": "two"}]
    wait_until(lambda: len(tail.printed()) >= 2, "the tail prints both")
    assert ["'log': 'one'" in tail.printed()[0], "'log': 'two'" in tail.printed()[1]] == [True, True]


def test_our_scripts_reach_stock_listeners_through_a_stock_relay(host: Host, sockets: Sockets) -> None:
    stock.StockRelay(host)
    publisher, listener = sockets.publisher(host.inbound), sockets.listener(host.outbound)
    tail = stock.StockTail(host)
    join(publisher, listener, tail)
    ran = host.run("fedmsg-logger", "--message", "by our logger")
    assert (ran.code, ran.stderr) == (0, "")
    assert logged(listener, 1) == [{"log": "by our logger"}]
    ran = host.run("fedmsg-logger", stdin="\n".join(map(str, range(200))))
    assert (ran.code, ran.stderr) == (0, "")
    assert logged(listener, 200) == [{"log": str(n)} for n in range(200)]
    code = "import fedmsg_relay as f\nfor n in range(5): f.publish(topic='x', modname='m', msg={'n': n})"
    ran = host.run(COMMANDS / "python", "-c", code)
    assert (ran.code, ran.stderr) == (0, "")
    assert logged(listener, 5) == [{"n": n} for n in range(5)]
    wait_until(lambda: len(tail.printed()) >= 206, "the stock tail prints everything")
    last = envelope("org.example.last", 1)
    publisher.send(*last)
    listener.expect([last])
    wait_until(lambda: tail.heard(last), "the stock tail prints the last message")


def test_our_probe_passes_a_stock_relay(host: Host, sockets: Sockets) -> None:
    stock.StockRelay(host)
    join(sockets.publisher(host.inbound), sockets.listener(host.outbound))
    ran = host.run("fedmsg-relay", "probe")
    assert ran.code == 0, ran.stdout + ran.stderr


def test_a_body_signed_by_stock_verifies_after_our_relay(bus: Bus) -> None:
    # The signature covers the text of the message: a relay that re-encodes breaks it.
    signed = stock.python(bus.host, SIGN).stdout.strip().encode()
    bus.publisher.send(b"org.example.signed", signed)
    wait_until(lambda: bus.listener.hear(0.1), "the signed message")
    ((_, body),) = bus.listener.messages
    assert body == signed
    bus.host.write("signed.json", body.decode())
    assert stock.python(bus.host, VERIFY).stdout.strip() == "True"


# A certificate authority and a key in a temporary place, then stock's own signing code.
SIGN = """
import datetime, json
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
import fedmsg.crypto

def certificate(subject, issuer, key, signer, ca):
    name = lambda cn: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    start = datetime.datetime.utcnow() - datetime.timedelta(days=1)
    return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256()))

pem = serialization.Encoding.PEM
ca_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
open("ca.crt", "wb").write(certificate("ca", "ca", ca_key, ca_key, True).public_bytes(pem))
open("shell.crt", "wb").write(certificate("shell", "ca", key, ca_key, False).public_bytes(pem))
open("shell.key", "wb").write(key.private_bytes(
    pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
message = {"topic": "org.example.signed", "msg": {"a": 1.10, "b": "e\\u0301"}, "i": 1,
           "timestamp": 1, "msg_id": "2026-x", "username": "x"}
print(fedmsg.encoding.dumps(fedmsg.crypto.sign(message, ssldir=".", certname="shell")))
"""

VERIFY = """
import json
import fedmsg.crypto
message = json.load(open("signed.json"))
print(fedmsg.crypto.validate(
    message, ssldir=".", ca_cert_location="ca.crt", crl_location=None, crypto_validate_backends=["x509"],
    routing_policy={}, routing_nitpicky=False))
"""


def test_a_stock_script_in_its_start_sleep_does_not_notice_a_restart(host: Host, sockets: Sockets) -> None:
    relay = Relay(host)
    try:
        relay.start()
        script = host.start(stock.command("fedmsg-logger"), "--post-init-sleep", "15", "--message", "over a restart")
        wait_until(lambda: len(relay.status()["peers"]["publishers"]) == 1, "the stock script connects")
        assert relay.stop() == 0
        relay.start()
        publisher, listener = sockets.publisher(host.inbound), sockets.listener(host.outbound)
        join(publisher, listener)
        assert script.wait() == 0
        assert logged(listener, 1) == [{"log": "over a restart"}]
    finally:
        relay.close()
