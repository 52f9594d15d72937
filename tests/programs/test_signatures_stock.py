"""Signatures live, with stock fedmsg at either end of a relay that enforces them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

import stock
from bus import Bus, StartBus
from harness import PATIENCE, Host, wait_until
from messages import Message
from pki import HOST, SCM, SHELL, Pki, counted, settings, start
from sites import Site, chained
from spooled import deliver, log, publish, shell
from vectors import VECTORS, Vector, write_files
from wire import Sockets

SITE = "ca.crt", "crl.pem"
VALID = [one for one in VECTORS if one.group == "numbers" and one.stock is True and (one.ca, one.crl) == SITE]
DEADLY = [one for one in VECTORS if isinstance(one.stock, str) and (one.ca, one.crl) == SITE]
"""Messages at which a stock listener that validates ends, where the site's own CA and CRL are as they should be."""


def texts(tail: stock.StockTail) -> list[str]:
    """What the tail has printed, of what it found valid: the text of each message."""
    found = [eval(text, {"nan": 0})["msg"] for text in tail.printed()]  # noqa: S307 -- a dict as Python prints it
    return [msg.get("log", "") for msg in found if isinstance(msg, dict)]


def listening(host: Host, send: Callable[[], object]) -> stock.StockTail:
    """A stock listener that validates, once it hears what is sent."""
    tail = stock.StockTail(host)

    def hears() -> bool:
        send()
        return bool(tail.printed())

    wait_until(hears, "the tail hears a valid message")
    return tail


def warned(tail: stock.StockTail) -> bool:
    return "UserWarning" in tail.process.stderr()


@pytest.fixture
def enforcing(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    return start(host, pki, start_bus, "enforce")


def test_stock_signs_and_stock_validates_with_our_relay_in_between(enforcing: Bus) -> None:
    host = enforcing.host
    tail = listening(host, lambda: log(host, "are you there"))
    stock.logger(host, "--message", "from stock")
    stock.logger(host, "--message", "as scm", "--cert-prefix", "scm")
    wait_until(lambda: {"from stock", "as scm"} <= set(texts(tail)), "both messages are valid")
    assert not warned(tail)
    signers = {one["name"]: one["messages"] for one in enforcing.relay.status()["trust"]["signers"]}
    assert signers[SCM] == 1
    assert signers[SHELL] >= 2


WAYS = {"fedmsg-logger": log, "publish": publish, "fedmsg-spool": shell}


def test_every_way_of_ours_is_valid_for_stock(enforcing: Bus) -> None:
    host = enforcing.host
    tail = listening(host, lambda: log(host, "are you there"))
    for way, send in WAYS.items():
        assert send(host, way).code == 0
    assert deliver(host).code == 0
    wait_until(lambda: set(WAYS) <= set(texts(tail)), "all of it is valid")
    enforcing.relay.stop()
    for way, send in WAYS.items():  # now by way of the spool
        assert send(host, f"{way} spooled").code == 0
    enforcing.relay.start()
    assert deliver(host).code == 0
    wait_until(lambda: {f"{way} spooled" for way in WAYS} <= set(texts(tail)), "all of it is valid")
    assert not warned(tail)
    assert enforcing.relay.status()["trust"]["distrusted"] == {}


def enforce(site: Site, pki: Pki, more: str = "") -> None:
    pki.configure(site.host)
    settings(site.host, "enforce", more)


def test_signed_messages_pass_a_chain_and_refusals_upstream_are_counted(
    old: Site, new: Site, pki: Pki, sockets: Sockets
) -> None:
    enforce(new, pki)
    pki.configure(old.host)
    chained(old, new)  # the old one checks nothing
    tail = listening(old.host, lambda: log(old.host, "are you there"))
    stock.logger(old.host, "--message", "from stock")
    publisher = sockets.publisher(old.host.inbound)
    lone = [pki.sign(number) for number in range(400)]
    bad = {70, 71, 333}
    for number, message in enumerate(lone):
        publisher.send(*((message[0], b'{"unsigned": 1}') if number in bad else message))
    listener = sockets.listener(new.host.outbound)
    wait_until(lambda: old.relay.messages()["refused_upstream"] == 3, "three are refused")
    assert log(old.host, "the end").code == 0
    wait_until(lambda: {"from stock", "the end"} <= set(texts(tail)), "all that is valid")
    assert not warned(tail)
    messages = old.relay.settled()
    assert (messages["damaged"], messages["waiting"]) == (0, 0)
    journaled = new.journaled()
    assert [message for message in journaled if message in set(lone)] == [
        message for number, message in enumerate(lone) if number not in bad
    ]
    old.relay.wait_for_log("WARNING", "upstream refused", "unsigned (last: seq")
    listener.close()


def test_a_chained_relay_waits_while_its_upstream_cannot_check(old: Site, new: Site, pki: Pki) -> None:
    pki.crl.unlink()
    enforce(new, pki)
    pki.configure(old.host)
    chained(old, new)
    for number in range(3):
        assert log(old.host, f"waits {number}").code == 0
    assert old.relay.messages()["waiting"] == 3
    pki.write_crl()
    assert old.relay.settled()["refused_upstream"] == 0
    assert [json.loads(body)["msg"]["log"] for _, body in new.journaled()] == [f"waits {number}" for number in range(3)]


def test_signed_messages_stay_valid_through_a_move(old: Site, new: Site, pki: Pki) -> None:
    for site in (old, new):
        enforce(site, pki)
        site.relay.start()
    tails = [listening(site.host, partial(log, site.host, "are you there")) for site in (old, new)]
    assert log(old.host, "before").code == 0
    assert old.relay.stop() == 0
    assert log(old.host, "meanwhile").code == 0  # into the spool
    enforce(old, pki, f"[upstream]\nsubmit = ['{new.host.submit}']\noutbound = ['{new.host.outbound}']\n")
    old.join()
    assert deliver(old.host).code == 0
    stock.logger(old.host, "--message", "from stock")
    assert log(old.host, "chained").code == 0
    both = ["meanwhile", "from stock", "chained"]
    wait_until(lambda: texts(tails[0])[-1:] == both[-1:], "the listener of the old relay has the last one")
    assert old.relay.stop() == 0
    assert log(new.host, "after").code == 0
    wait_until(lambda: texts(tails[1])[-1:] == ["after"], "the listener of the new relay has the last one")
    heard = [[text for text in texts(tail) if text != "are you there"] for tail in tails]
    assert heard == [["before", *both], [*both, "after"]]
    assert not any(map(warned, tails))


# What ends stock listeners.


def configure(host: Host, files: Path) -> None:
    write_files(files)
    host.write(
        "fedmsg.d/sign.py",
        f"config = {trusting(files)!r}\n",
    )


def trusting(files: Path) -> dict[str, Any]:
    """Let a stock listener validate against the CA of the vectors; its policy is about other topics."""
    return {
        "validate_signatures": True,
        "ca_cert_location": str(files / SITE[0]),
        "crl_location": str(files / SITE[1]),
        "crypto_validate_backends": ["x509"],
        "routing_policy": {"org.example.other": [HOST]},
    }


@pytest.mark.parametrize("signatures", ["warn", "enforce"])
def test_a_stock_listener_behind_our_relay_outlives_what_would_end_it(
    signatures: str, host: Host, start_bus: StartBus, tmp_path: Path
) -> None:
    host.configure_submit()
    configure(host, tmp_path)
    settings(host, signatures)
    bus = start_bus()
    client = bus.sockets.submitter(host.submit)
    tail = stock.StockTail(host)
    wait_until(lambda: len(bus.relay.status()["peers"]["listeners"]) == 2, "the tail is connected")
    *valid, last = ((vector.topic.encode(), vector.body.encode()) for vector in VALID)
    hear_one_of(valid, bus, tail)
    for vector in DEADLY:
        message = vector.topic.encode(), vector.body.encode()
        bus.publisher.send(*message)
        answer = client.ask(message)
        assert answer["status"] == "refused", (vector.what, answer)
    counted(bus, quarantined=len(DEADLY))
    bus.publisher.send(*last)
    wait_until(lambda: tail.heard(last), "the tail prints the last, valid message")
    assert tail.process.alive()


def hear_one_of(valid: list[Message], bus: Bus, tail: stock.StockTail) -> None:
    """Send these until the tail hears one; each is sent once, for twice it would be a replay."""
    sent: list[Message] = []

    def heard() -> bool:
        return any(map(tail.heard, sent))

    for message in valid:
        bus.publisher.send(*message)
        sent.append(message)
        with contextlib.suppress(AssertionError):
            wait_until(heard, "the tail hears a message", 2)
            return
    wait_until(heard, "the tail hears one of the messages")


class Sender:
    """A publisher that listeners connect to, without a relay."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.bind(address)

    def send_to_one(self, message: Message) -> None:
        """Send to a listener, when it has subscribed."""
        assert self._socket.poll(int(PATIENCE * 1000)), "no listener"
        self._socket.recv()
        self._socket.send_multipart(message)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def sender(host: Host, sockets: Sockets, tmp_path: Path) -> Iterator[Sender]:
    address = f"tcp://127.0.0.1:{host.port()}"
    host.configure(outbound=address)
    configure(host, tmp_path)
    with contextlib.closing(Sender(sockets.context, address)) as sender:
        yield sender


@pytest.mark.parametrize("vector", DEADLY, ids=lambda vector: f"{vector.group}, {vector.what}")
def test_a_stock_listener_ends_at_such_a_message_straight_from_its_sender(
    vector: Vector, host: Host, sender: Sender
) -> None:
    process = host.start(stock.command("fedmsg-tail"))
    sender.send_to_one((vector.topic.encode(), vector.body.encode()))
    assert process.wait() != 0
    assert "Traceback" in process.stderr()
