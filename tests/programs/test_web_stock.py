"""A stock consumer that was away fetches what it missed from the web process: real moksha, real signatures."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stock
from bus import Bus
from certificates import Pair, TestCa, envelope
from harness import Host, Process, wait_until
from served import Web

TOPIC = "org.fedoraproject.dev.git.receive"
MISSED = 250
"""Messages of more than two pages of its backfill."""

CONSUMER = """
import json
from fedmsg.consumers import FedmsgConsumer

class Keeper(FedmsgConsumer):
    topic = "org.fedoraproject.dev.git.*"
    config_key = "keeper.enabled"

    def consume(self, message):
        with open("consumed", "a") as file:
            print(message["body"]["i"], file=file, flush=True)
"""


class Consumer:
    """A stock fedmsg-hub with one consumer, which keeps the numbers of the messages it accepts."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._file = host.directory / "consumed"
        self.process: Process | None = None
        host.write("keeper.py", CONSUMER)

    def start(self) -> None:
        hub = stock.command("fedmsg-hub")
        self.process = self._host.start(
            hub, "--with-consumers", "keeper:Keeper", env={"PYTHONPATH": str(self._host.directory)}
        )

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()

    def consumed(self) -> list[int]:
        return [int(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []

    def has_noted(self, number: int) -> bool:
        """Whether it has noted that it is done with this message. Killed while it writes, stock skips the backlog."""
        for file in (self._host.directory / "status").glob("*/Keeper"):
            with contextlib.suppress(ValueError):
                noted = json.loads(file.read_text())
                return bool(noted["status"] == "post" and noted["message"]["body"]["i"] == number)
        return False


CA = TestCa()


@pytest.fixture
def pair() -> Pair:
    return CA.issue()


@pytest.fixture
def signing_bus(submit_bus: Bus, tmp_path: Path) -> Iterator[tuple[Bus, Web]]:
    with contextlib.closing(Web(submit_bus.host)) as web:
        web.start()
        ca, crl = CA.write(tmp_path)
        config: dict[str, Any] = {
            "validate_signatures": True,
            "ca_cert_location": ca,
            "crl_location": crl,
            "crypto_validate_backends": ["x509"],
            "keeper.enabled": True,
            "status_directory": str(submit_bus.host.directory / "status"),
            "datagrepper_url": f"{web.url}/raw",
        }
        submit_bus.host.write("fedmsg.d/zz-keeper.py", f"config = {config!r}\n")
        yield submit_bus, web


def signed(number: int, pair: Pair) -> tuple[bytes, bytes]:
    fields = {"i": number, "msg_id": f"2026-{number}", "timestamp": int(time.time())}
    return TOPIC.encode(), pair.sign({**envelope({"n": number}, TOPIC), **fields})


def test_a_stock_consumer_has_every_message_that_it_missed(signing_bus: tuple[Bus, Web], pair: Pair) -> None:
    bus, _ = signing_bus
    consumer = Consumer(bus.host)
    consumer.start()
    submitter = bus.sockets.submitter(bus.host.submit)
    first = 0

    def heard() -> bool:
        nonlocal first
        first += 1
        submitter.ask(signed(first, pair))
        return bool(consumer.consumed())

    wait_until(heard, "the consumer consumes")
    wait_until(lambda: consumer.consumed()[-1] == first, "the consumer has the last message")
    wait_until(lambda: consumer.has_noted(first), "the consumer has noted that")
    consumer.stop()
    missed = [signed(first + number, pair) for number in range(1, MISSED + 1)]
    forged = changed(missed[5][1])
    submitter.ask(*missed[:100], (TOPIC.encode(), forged))
    submitter.ask(*missed[100:])
    consumer.start()
    last = first + MISSED
    wait_until(lambda: last in consumer.consumed(), "the consumer has the last message that it missed")
    submitter.ask(signed(last + 1, pair))
    wait_until(lambda: last + 1 in consumer.consumed(), "the consumer goes on live")
    new = consumer.consumed()[consumer.consumed().index(first) + 1 :]
    assert [number for number in new if number > first] == list(range(first + 1, last + 2))


def changed(body: bytes) -> bytes:
    """Another message under the signature of this one."""
    message = json.loads(body)
    return json.dumps({**message, "msg_id": "2026-forged", "i": 10**6}).encode()


def test_stock_replays_a_message_by_its_msg_id(signing_bus: tuple[Bus, Web], pair: Pair) -> None:
    bus, web = signing_bus
    bus.sockets.submitter(bus.host.submit).ask(signed(1, pair))
    where = ("--datagrepper-url", f"{web.url}/raw", "--post-init-sleep", "2")
    ran = stock.run(bus.host, "fedmsg-dg-replay", "--msg-id", "2026-1", *where)
    assert ran.code == 0, ran.stderr

    def replayed() -> list[dict[str, Any]]:
        heard = [json.loads(message[1]) for message in bus.listener.hear()]
        return [one for one in heard if one["msg"] == {"n": 1} and one["msg_id"] != "2026-1"]

    wait_until(replayed, "the message is published again")
