"""The bridge and a broker that ends, freezes or takes nothing; and one that knows its users by certificates."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bridged import PATIENCE, Bridge, expected, first_copies, names
from broker import Broker, Exchange
from bus import Bus
from certificates import DAY, NOW, PEM, TestCa
from harness import Host, wait_until
from messages import numbered
from submitted import last_seq


class Tls:
    """A directory with the certificates of a site's TLS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._authority = TestCa(key=ec.generate_private_key(ec.SECP256R1()))
        (directory / "ca.crt").write_bytes(self._authority.pem)

    def issue(self, name: str, file: str, start: datetime = NOW - DAY, end: datetime = NOW + DAY) -> None:
        host = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        key = ec.generate_private_key(ec.SECP256R1())
        pair = self._authority.issue(name, key=key, extensions=[(host, False)], start=start, end=end)
        (self.directory / f"{file}.crt").write_bytes(pair.pem)
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.directory / f"{file}.key").write_bytes(secret)

    def login(self, file: str) -> dict[str, str]:
        return {
            "ca": f"{self.directory}/ca.crt",
            "cert": f"{self.directory}/{file}.crt",
            "key": f"{self.directory}/{file}.key",
        }


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    made = Tls(tmp_path_factory.mktemp("tls"))
    made.issue("127.0.0.1", "broker")
    made.issue("bridge.example.org", "bridge")
    made.issue("stranger.example.org", "stranger")
    made.issue("bridge.example.org", "expired", end=NOW - DAY / 2)
    return made


@pytest.fixture(scope="module")
def own_broker(tls: Tls) -> Iterator[Broker]:
    """A RabbitMQ that these tests may do anything to."""
    with contextlib.closing(Broker(tls.directory).start()) as broker:
        yield broker


@pytest.fixture
def bridge(host: Host, own_broker: Broker) -> Iterator[Bridge]:
    # So that a frozen broker is noticed within some seconds, and not a minute.
    exchange = Exchange(own_broker)
    with contextlib.closing(Bridge(host, exchange, url=f"{exchange.url}?heartbeat=2")) as bridge:
        yield bridge


def test_nothing_is_lost_where_the_broker_ends(bus: Bus, bridge: Bridge, pytestconfig: pytest.Config) -> None:
    broker, rounds = bridge.exchange.broker, pytestconfig.getoption("--broker-kills")
    queue = bridge.exchange.queue("all", "#", **{"x-queue-type": "quorum"})
    # A broker that has just begun may know the exchange before its queues: a message without one would count as sent.
    url = f"{bridge.exchange.url}?heartbeat=2"
    bridge.configure(amqp_url=[url], exchange=bridge.exchange.name, unroutable="wait")
    bridge.start()
    for number in range(rounds):
        bridge.wait_for(waiting=0, state="working")
        bus.publisher.send_all(numbered(200, 400 * number))
        broker.stop(signal.SIGTERM if number % 2 else signal.SIGKILL)
        bus.publisher.send_all(numbered(200, 400 * number + 200))
        broker.start()
    bus.listener.expect(numbered(400 * rounds))
    bridge.wait_for(waiting=0, balanced=True, gap=0, set_aside=0, state="working")
    taken = names(bridge.exchange.take(queue, last_seq(bus)))
    assert first_copies(taken) == expected(numbered(400 * rounds))
    print(f"{len(taken) - len(set(taken))} went twice in {rounds} ends of the broker")


def test_a_broker_that_freezes_is_noticed_and_waited_for(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue()
    bridge.start()
    bridge.wait_for(state="working")
    bridge.exchange.broker.signal(signal.SIGSTOP)
    try:
        bus.publisher.send_all(numbered(300))
        bus.listener.expect(numbered(300))
        bridge.wait_for(state="connecting")
    finally:
        bridge.exchange.broker.signal(signal.SIGCONT)
    bridge.wait_for(waiting=0, balanced=True, state="working")
    assert first_copies(names(bridge.exchange.take(queue, last_seq(bus)))) == expected(numbered(300))


def test_an_alarm_of_the_broker_is_waited_for(bus: Bus, bridge: Bridge) -> None:
    queue = bridge.exchange.queue()
    broker = bridge.exchange.broker
    broker.control("set_vm_memory_high_watermark", "0.00001")
    try:
        bridge.start()
        bus.publisher.send_all(numbered(300))
        bus.listener.expect(numbered(300))
        told = bridge.wait_for(state="blocked")
        assert "memory" in told["forward"]["reason"]
        assert told["forward"]["waiting"]
    finally:
        broker.control("set_vm_memory_high_watermark", "0.4")
    bridge.wait_for(waiting=0, balanced=True, resent=0, state="working")
    assert names(bridge.exchange.take(queue, last_seq(bus))) == expected(numbered(300))


def tls_url(bridge: Bridge) -> str:
    return f"amqps://127.0.0.1:{bridge.exchange.broker.tls_port}/%2F"


def test_a_bridge_logs_in_by_its_certificate(bus: Bus, bridge: Bridge, tls: Tls) -> None:
    queue = bridge.exchange.queue()
    bridge.configure(amqp_url=[tls_url(bridge)], exchange=bridge.exchange.name, **tls.login("bridge"))
    shown = bridge.host.run("fedmsg-relay", "check-config", "--settings", bridge.host.settings_file, "--json")
    assert json.loads(shown.stdout)["bridge"]["certificate"] == "bridge.example.org"
    bus.publisher.send_all(numbered(50))
    bridge.start()
    bus.listener.expect(numbered(50))
    bridge.wait_for(waiting=0, balanced=True, state="working")
    assert names(bridge.exchange.take(queue, last_seq(bus))) == expected(numbered(50))


def test_the_broker_comes_from_the_config_of_fedora_messaging(bus: Bus, bridge: Bridge, tls: Tls) -> None:
    queue = bridge.exchange.queue()
    names_of = {"ca_cert": "ca", "certfile": "cert", "keyfile": "key"}
    login = tls.login("bridge")
    lines = [f"{name} = {json.dumps(login[ours])}" for name, ours in names_of.items()]
    head = f'amqp_url = "{tls_url(bridge)}"\ntopic_prefix = "no.prefix"\npublish_exchange = "{bridge.exchange.name}"\n'
    path = bridge.host.write("config.toml", "\n".join([head, "[tls]", *lines, ""]))
    bridge.configure(fedora_messaging=str(path))
    bus.publisher.send_all(numbered(5))
    bridge.start()
    bus.listener.expect(numbered(5))
    taken = bridge.exchange.take(queue, last_seq(bus))
    assert names(taken) == expected(numbered(5))
    assert {method.routing_key for method, _, _ in taken[-5:]} == {numbered(1)[0][0].decode()}


def test_a_certificate_that_is_renewed_under_the_bridge_is_waited_for(bus: Bus, bridge: Bridge, tls: Tls) -> None:
    tls.issue("bridge.example.org", "renewed")
    certificate = tls.directory / "renewed.crt"
    before = certificate.read_bytes()
    tap = bridge.exchange.queue("tap")
    login = tls.login("renewed")
    bridge.configure(amqp_url=[tls_url(bridge)], exchange=bridge.exchange.name, tap_queue=tap, **login)
    bridge.start()
    bridge.wait_for(state="working")
    others = (tls.directory / "bridge.crt").read_bytes()
    for number, (found, fault) in enumerate([(None, "No such file"), (others, "cannot be used together")]):
        if found is None:
            certificate.unlink()
        else:
            certificate.write_bytes(found)
        bridge.exchange.broker.control("close_all_connections", "a test")
        for part in ("forward", "tap"):
            wait_until(partial(says, bridge, f"{part}: connecting: bridge.cert", fault), f"{part} says it", PATIENCE)
        bus.publisher.send_all(numbered(10, 10 * number))
        bus.listener.expect(numbered(10, 10 * number))
        certificate.write_bytes(before)
        for part in ("forward", "tap"):
            bridge.wait_for(part, state="working")
        bridge.wait_for(waiting=0, balanced=True, confirmed=last_seq(bus))
    assert bridge.stop() == 0


def says(bridge: Bridge, *words: str) -> bool:
    return any(all(word in line for word in words) for line in bridge.log().splitlines())


def test_a_connection_for_which_there_is_no_file_descriptor_is_waited_for(bus: Bus, bridge: Bridge) -> None:
    bridge.start()
    bridge.wait_for(state="working")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = resource.prlimit(bridge.running.pid, resource.RLIMIT_NOFILE, (3, most))
    bridge.exchange.broker.control("close_all_connections", "a test")
    bridge.wait_for_log("forward: connecting: Too many open files")
    resource.prlimit(bridge.running.pid, resource.RLIMIT_NOFILE, limits)
    bus.publisher.send_all(numbered(10))
    bus.listener.expect(numbered(10))
    bridge.wait_for(waiting=0, balanced=True, state="working")
    assert bridge.stop() == 0


@pytest.mark.parametrize("login", ["another CA", "no certificate", "a user that the broker does not know"])
def test_a_certificate_that_is_not_accepted_is_said(bridge: Bridge, tls: Tls, login: str, tmp_path: Path) -> None:
    other = Tls(tmp_path)
    other.issue("bridge.example.org", "bridge")
    ca = {"ca": f"{tls.directory}/ca.crt"}
    logins = {
        "another CA": {**other.login("bridge"), **ca},
        "no certificate": ca,
        "a user that the broker does not know": tls.login("stranger"),
    }
    bridge.configure(amqp_url=[tls_url(bridge)], exchange=bridge.exchange.name, **logins[login])
    bridge.start()
    bridge.wait_for_log("forward: connecting: ")
    assert "Traceback" not in bridge.log()
    assert bridge.stop() == 0


def test_a_broker_with_a_certificate_of_another_ca_is_not_believed(bridge: Bridge, tmp_path: Path) -> None:
    ca = Tls(tmp_path).login("")["ca"]
    bridge.configure(amqp_url=[tls_url(bridge)], exchange=bridge.exchange.name, ca=ca)
    bridge.start()
    bridge.wait_for_log("CERTIFICATE_VERIFY_FAILED")


def test_an_expired_certificate_is_refused(bridge: Bridge, tls: Tls) -> None:
    bridge.configure(amqp_url=[tls_url(bridge)], exchange=bridge.exchange.name, **tls.login("expired"))
    for command in (bridge.command(), ["fedmsg-relay", "check-config", "--settings", bridge.host.settings_file]):
        ran = bridge.host.run(*command)
        assert (ran.code, "has expired" in ran.one_error_line()) == (78, True)
