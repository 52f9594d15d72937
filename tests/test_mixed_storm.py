"""200 scripts at once, stock's and ours, one message each: every one of ours is delivered, once.

Stock's are there for the storm they make: on a busy machine some of them send before they have read the relay's answer,
and lose their message in silence, whatever the relay does.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path

import pytest

import stock
from harness import Process, wait_until
from wire import Bus

SCRIPTS = 200


def prefer(bus: Bus) -> None:
    """Give the relay the priority that its unit gives it: Nice=-10, for all of its threads."""
    for thread in Path(f"/proc/{bus.relay.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), -10)


def ours(number: int) -> bool:
    return number % 2 == 0


def start_script(bus: Bus, number: int) -> Process:
    program = "fedmsg-logger" if ours(number) else stock.command("fedmsg-logger")
    return bus.host.start(program, "--message", f"script {number}", "--topic", "storm")


def storm(bus: Bus) -> Counter[str]:
    return Counter(
        json.loads(body)["msg"]["log"] for topic, body in bus.listener.hear(0.1) if topic.endswith(b".storm")
    )


def wait_until_heard(bus: Bus, expected: set[str]) -> None:
    """Like wait_until, but it names what is missing."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: set(storm(bus)) >= expected, "every script's message", timeout=10)
    missing = sorted(expected - set(storm(bus)))
    assert missing == [], missing


@pytest.mark.timeout(240)
def test_of_200_concurrent_scripts_every_one_of_ours_is_delivered(submit_bus: Bus) -> None:
    prefer(submit_bus)
    scripts = [start_script(submit_bus, number) for number in range(SCRIPTS)]
    expected = {f"script {number}" for number in range(SCRIPTS) if ours(number)}

    def ended() -> bool:
        storm(submit_bus)
        return not any(script.alive() for script in scripts)

    wait_until(ended, "every script ends", timeout=180)
    failed = [(number, script.stderr()) for number, script in enumerate(scripts) if script.wait() != 0]
    assert failed == []
    # One of ours that got no answer in time is in the spool, where nothing delivers it in this miniature of a host.
    assert submit_bus.host.run("fedmsg-relay", "spool", "deliver").code == 0
    wait_until_heard(submit_bus, expected)
    heard = storm(submit_bus)
    assert {name: heard[name] for name in expected} == dict.fromkeys(expected, 1)
    assert heard.keys() <= {f"script {number}" for number in range(SCRIPTS)}
    assert heard.total() == len(heard), "one of stock's came twice"
    messages = submit_bus.relay.settled()
    assert (messages["quarantined"], messages["refused"], messages["unjournaled"]) == (0, 0, 0)
