"""The relay is down while scripts run: no script waits, no message is lost, the order of each script is kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from bus import StartBus
from fedmsg_relay.errors import EX_OK, EX_UNAVAILABLE
from harness import Host, Ran, wait_until
from messages import compare
from spooled import LOOKING, deliver, log, publish, shell, waiting

LINES = 5
PAUSE = 1.0
"""Seconds between two messages of a script."""


def lines(host: Host, text: str) -> Ran:
    return host.run("fedmsg-logger", stdin="".join(f"{text} line {n}\n" for n in range(LINES)))


def says_so(name: str, ran: Ran) -> bool:
    """Whether it said that it spooled; fedmsg-spool says it by its name, and by its exit code."""
    match name:
        case "fedmsg-spool":
            return ran.stdout == ran.stderr == ""
        case "publish":
            return ran.stdout.endswith(".msg\n")
        case "lines":
            return f" {LINES} spooled" in ran.one_error_line()
        case _:
            return " 1 spooled" in ran.one_error_line()


WAYS: dict[str, Callable[[Host, str], Ran]] = {
    "fedmsg-logger": log,
    "lines": lines,
    "publish": publish,
    "fedmsg-spool": shell,
}


@dataclass
class Script:
    """Says one thing after another, each with a process of its own that has to end before the next."""

    host: Host
    name: str
    ran: list[Ran] = field(default_factory=list)

    def say(self) -> None:
        self.ran.append(WAYS[self.name](self.host, f"{self.name} {len(self.ran)}"))

    def go_on(self, over: threading.Event) -> None:
        while not over.is_set():
            self.say()
            over.wait(PAUSE)

    def texts(self) -> list[str]:
        """What has to come out, in this order."""
        said = [f"{self.name} {number}" for number in range(len(self.ran))]
        return [f"{text} line {n}" for text in said for n in range(LINES)] if self.name == "lines" else said


def deliver_in_vain(host: Host, over: threading.Event) -> None:
    """As the timer does; every try ends soon and says that the messages stay."""
    while not over.is_set():
        ran = deliver(host, patience=1)
        assert (ran.code, ran.stdout) in ((EX_UNAVAILABLE, ""), (EX_OK, "delivered 0, refused 0\n")), ran
        over.wait(PAUSE)


@pytest.mark.timeout(600)
def test_messages_of_scripts_while_the_relay_is_down_arrive_once_in_order(
    lonely: Host, start_bus: StartBus, request: pytest.FixtureRequest
) -> None:
    scripts = [Script(lonely, name) for name in WAYS]
    over = threading.Event()
    down_until = time.monotonic() + request.config.getoption("--down-seconds")
    with ThreadPoolExecutor(len(scripts) + 1) as beside:
        running: list[Future[None]] = [beside.submit(script.go_on, over) for script in scripts]
        running.append(beside.submit(deliver_in_vain, lonely, over))
        # One that fails ends the waiting at once.
        while time.monotonic() < down_until and not any(one.done() for one in running):
            time.sleep(0.1)
        over.set()
    for one in running:
        one.result()
    for script in scripts:
        assert len(script.ran) > 1
        for ran in script.ran:
            assert (ran.code, says_so(script.name, ran)) == (0, True), (script.name, ran)
            assert ran.within(LOOKING)

    bus = start_bus()
    for script in scripts:
        script.say()  # what waits goes first
    assert {ran.code for script in scripts for ran in script.ran} == {0}
    assert deliver(lonely, patience=30).code == 0
    assert waiting(lonely) == []
    expected = {script.name: script.texts() for script in scripts}
    total = sum(map(len, expected.values()))
    wait_until(lambda: len(bus.listener.hear(0.1)) >= total, f"{total} messages")
    came: list[str] = [json.loads(body)["msg"]["log"] for _, body in bus.listener.messages]
    for name, texts in expected.items():
        compare([text for text in came if text.startswith(f"{name} ")], texts)
    assert len(came) == total
    assert bus.relay.settled()["duplicates"] == 0
