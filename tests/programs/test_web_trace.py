"""Where is my message? From the spool of a script's host to the relay that published it."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from bus import Bus
from harness import Ran, wait_until
from messages import envelope
from served import Web
from sites import Site
from wire import Sockets

AWAY = "127.0.0.211"
"""An address of this host at which nobody listens."""

MSG_ID = "2026-traced-1"
USER = "packager\u202e"
TOPIC, BODY = envelope("org.example.traced", 1)
MESSAGE = TOPIC, json.dumps({**json.loads(BODY), "username": USER}).encode()


@pytest.fixture
def web(submit_bus: Bus) -> Iterator[Web]:
    with contextlib.closing(Web(submit_bus.host)) as web:
        web.start()
        submit_bus.host.write("fedmsg.d/web.py", f"config = {{'relay_web': {web.url!r}}}\n")
        yield web


def trace(bus: Bus, msg_id: str = MSG_ID, *options: str) -> Ran:
    return bus.host.run("fedmsg-relay", "trace", msg_id, *options)


def test_a_published_message_is_traced(submit_bus: Bus, web: Web) -> None:
    began = time.time()
    seq = submit_bus.sockets.submitter(submit_bus.host.submit).ask(MESSAGE)["seq"][0]
    submit_bus.listener.wait_for(MESSAGE)
    wait_until(lambda: "published   yes" in trace(submit_bus).stdout, "it is noted as published")
    ran = trace(submit_bus)
    assert (ran.code, ran.stderr) == (0, "")
    for words in (
        f"not in {submit_bus.host.spool}",
        web.url,
        f"seq {seq} at 20",
        "topic       org.example.traced",
        "names the user packager\\u202e\n",
    ):
        assert words in ran.stdout
    told = json.loads(trace(submit_bus, MSG_ID, "--json").stdout)
    assert told["spool"]["files"] == []
    (relay,) = told["relays"]
    latest = relay["journal"]["published_by"]
    assert began < relay["journal"]["time"] < latest < time.time()
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("published"))
    shown = datetime.fromisoformat(line.removeprefix("published   yes, by ")).timestamp()
    assert -1e-4 < shown - latest < 0.01, "never an earlier time than the one that is noted"
    page = web.get(f"/message/{seq}").body.decode()
    on_page = re.search(r"<dt>Published</dt><dd>yes, by (\S+ \S+) UTC</dd>", page)
    assert on_page, page
    assert 0 <= datetime.fromisoformat(f"{on_page[1]}+00:00").timestamp() - latest <= 1
    assert (relay["journal"]["seq"], relay["journal"]["published"], relay["quarantine"]) == (seq, True, [])
    assert (relay["journal"]["username"], relay["journal"]["signer"]) == (USER, None)


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
    user = pwd.getpwuid(os.getuid()).pw_name
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("spool"))
    waits = rf"spool       {submit_bus.host.spool}/{files[0]}, from {user}, since 20\S+: it waits"
    assert re.fullmatch(waits, line), line
    assert files[1] not in ran.stdout
    assert "cannot be asked: " in ran.stdout
    shell = (submit_bus.host.spool / files[1]).read_text().splitlines()
    assert shell[0] == "fedmsg-spool 1 msg"
    assert f"{submit_bus.host.spool}/{files[1]}, from {user}, " in trace(submit_bus, shell[4]).stdout


def test_a_message_that_nobody_has(submit_bus: Bus, web: Web) -> None:
    wait_until(lambda: trace(submit_bus, "2026-none").code == 64, "the index is complete")
    ran = trace(submit_bus, "2026-none")
    assert "no trace of 2026-none: neither the spool of this host nor the relay has it" in ran.one_error_line()
    web.running.kill()
    ran = trace(submit_bus, "2026-none")
    assert ran.code == 69
    assert "not every relay could be asked" in ran.one_error_line()


def test_a_message_that_an_upstream_has_to_take_is_asked_for_there(site: Callable[[], Site], sockets: Sockets) -> None:
    old = site()
    old.host.write("relay.toml", f"[upstream]\nsubmit = ['tcp://{AWAY}:9942']\noutbound = ['tcp://{AWAY}:3999']\n")
    with contextlib.closing(Web(old.host)) as web:
        old.relay.start()
        web.start()
        old.host.write("fedmsg.d/web.py", f"config = {{'relay_web': {web.url!r}}}\n")
        sockets.submitter(old.host.submit).ask(MESSAGE)
        ran = old.host.run("fedmsg-relay", "trace", MSG_ID)
        assert ran.code == 0, ran.stderr
        assert "published   not yet: it waits in the journal" in ran.stdout
        assert f"upstream    tcp://{AWAY}:9942 away\n" in ran.stdout
        assert f"relay       http://{AWAY}:9943, the upstream\n            cannot be asked: " in ran.stdout
