"""200 scripts at once, stock's and ours, one message each: every message is delivered, once.

Stock's send a fixed time after they have connected, whether the relay has answered or not; on a machine as busy as
this one then is, their default of half a second loses some of them in silence, whatever the relay does. So the site of
this test does what its config can do about that: stock's own ``post_init_sleep``, which ours do not need.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path

import pytest

import stock
from bus import Bus
from harness import Process, wait_until

SCRIPTS = 200
STOCK_SLEEP = 10.0


def prefer(bus: Bus) -> None:
    """Give the relay the priority that its unit gives it: Nice=-10, for all of its threads."""
    for thread in Path(f"/proc/{bus.relay.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), -10)


def start_script(bus: Bus, number: int) -> Process:
    program = "fedmsg-logger" if number % 2 else stock.command("fedmsg-logger")
    return bus.host.start(program, "--message", f"script {number}", "--topic", "storm")


def storm(bus: Bus) -> Counter[str]:
    return Counter(
        json.loads(body)["msg"]["log"] for topic, body in bus.listener.hear(0.1) if topic.endswith(b".storm")
    )


def wait_until_heard(bus: Bus, expected: set[str]) -> None:
    """Like wait_until, but it names what is missing."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: set(storm(bus)) >= expected, "every script's message")
    missing = sorted(expected - set(storm(bus)))
    assert missing == [], missing


@pytest.mark.timeout(240)
def test_of_200_concurrent_scripts_stock_and_ours_every_one_is_delivered(submit_bus: Bus) -> None:
    submit_bus.host.configure_submit(post_init_sleep=STOCK_SLEEP)
    prefer(submit_bus)
    scripts = [start_script(submit_bus, number) for number in range(SCRIPTS)]
    expected = {f"script {number}" for number in range(SCRIPTS)}

    def ended() -> bool:
        storm(submit_bus)
        return not any(script.alive() for script in scripts)

    wait_until(ended, "every script ends", timeout=180)
    failed = [(number, script.stderr()) for number, script in enumerate(scripts) if script.wait() != 0]
    assert failed == []
    # One of ours that got no answer in time is in the spool, where nothing delivers it in this miniature of a host.
    assert submit_bus.host.run("fedmsg-relay", "spool", "deliver").code == 0
    wait_until_heard(submit_bus, expected)
    assert storm(submit_bus) == dict.fromkeys(expected, 1)
    messages = submit_bus.relay.settled()
    assert (messages["quarantined"], messages["refused"], messages["unjournaled"]) == (0, 0, 0)
