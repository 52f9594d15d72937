"""Where is my message? From the spool of a script's host to the relay that published it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from harness import Ran, wait_until
from served import Web
from wire import Bus, envelope

MSG_ID = "2026-traced-1"
MESSAGE = envelope("org.example.traced", 1)


@pytest.fixture
def web(submit_bus: Bus) -> Iterator[Web]:
    with contextlib.closing(Web(submit_bus.host)) as web:
        web.start()
        submit_bus.host.write("fedmsg.d/web.py", f"config = {{'relay_web': {web.url!r}}}\n")
        yield web


def trace(bus: Bus, msg_id: str = MSG_ID, *options: str) -> Ran:
    return bus.host.run("fedmsg-relay", "trace", msg_id, *options)


def test_a_published_message_is_traced(submit_bus: Bus, web: Web) -> None:
    seq = submit_bus.sockets.submitter(submit_bus.host.submit).ask(MESSAGE)["seq"][0]
    submit_bus.listener.wait_for(MESSAGE)
    wait_until(lambda: "published   yes" in trace(submit_bus).stdout, "it is noted as published")
    ran = trace(submit_bus)
    assert (ran.code, ran.stderr) == (0, "")
    for words in (f"not in {submit_bus.host.spool}", web.url, f"seq {seq} at 20", "topic       org.example.traced"):
        assert words in ran.stdout
    told = json.loads(trace(submit_bus, MSG_ID, "--json").stdout)
    assert told["spool"]["files"] == []
    (relay,) = told["relays"]
    assert (relay["journal"]["seq"], relay["journal"]["published"], relay["quarantine"]) == (seq, True, [])


def test_a_message_that_was_dropped_is_traced_to_the_quarantine(submit_bus: Bus, web: Web) -> None:
    submit_bus.publisher.send(b"org.example", b'{"msg_id": "2026-dropped", ')
    wait_until(lambda: submit_bus.relay.messages()["quarantined"], "it is dropped")
    assert web.running.alive()
    wait_until(lambda: trace(submit_bus, "2026-dropped").code == 0, "it is found")
    assert "quarantine  body-not-json at 20" in trace(submit_bus, "2026-dropped").stdout


def test_a_message_that_waits_in_the_spool_is_traced_also_without_a_relay(submit_bus: Bus, web: Web) -> None:
    submit_bus.relay.stop()
    sent = submit_bus.host.run(
        "python", "-c", "import fedmsg_relay as f; print(f.publish(topic='t', modname='m', msg={}).msg_id)"
    )
    assert sent.code == 0, sent.stderr
    options = ("--modname=m", "--topic=shell", "--message={}")
    spooled = submit_bus.host.run("fedmsg-spool", *options, env={"FEDMSG_SPOOL": str(submit_bus.host.spool)})
    assert spooled.code == 0, spooled.stderr
    web.running.kill()
    files = sorted(file.name for file in submit_bus.host.spool.glob("*.msg"))
    ran = trace(submit_bus, sent.stdout.strip())
    assert ran.code == 0
    assert f"spool       {submit_bus.host.spool}/{files[0]}\n" in ran.stdout
    assert files[1] not in ran.stdout
    assert "cannot be asked: " in ran.stdout
    shell = (submit_bus.host.spool / files[1]).read_text().splitlines()
    assert shell[0] == "fedmsg-spool 1 msg"
    assert f"{submit_bus.host.spool}/{files[1]}\n" in trace(submit_bus, shell[4]).stdout


def test_a_message_that_nobody_has(submit_bus: Bus, web: Web) -> None:
    wait_until(lambda: trace(submit_bus, "2026-none").code == 64, "the index is complete")
    ran = trace(submit_bus, "2026-none")
    assert "no trace of 2026-none: neither the spool of this host nor the relay has it" in ran.one_error_line()
    web.running.kill()
    ran = trace(submit_bus, "2026-none")
    assert ran.code == 69
    assert "not every relay could be asked" in ran.one_error_line()
