"""`fedmsg-relay tail` and `fedmsg_relay.tail()`: no gap, from one relay or several, across restarts and a move."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bus import Bus
from harness import PATIENCE, Host, Process, wait_until
from messages import Message, compare, envelope, numbered
from served import Web
from sites import Site, chained
from wire import Sockets, Submitter

NOBODY = "http://127.0.0.212:9943"
"""Where no web process answers."""


@pytest.fixture
def bus(submit_bus: Bus) -> Bus:
    return submit_bus


@pytest.fixture
def web(bus: Bus) -> Iterator[Web]:
    with contextlib.closing(Web(bus.host)) as web:
        web.start()
        configure(bus.host, web)
        yield web


@contextlib.contextmanager
def two_relays(site: Callable[[], Site]) -> Iterator[tuple[Site, Site, Web, Web]]:
    """Two relays and their web processes. The config of the first one's host names both."""
    first, second = site(), site()
    with contextlib.closing(Web(first.host)) as one, contextlib.closing(Web(second.host)) as other:
        for relay in (first, second):
            relay.relay.start()
        configure(first.host, one, other)
        one.start()
        other.start()
        yield first, second, one, other


def configure(host: Host, *webs: Web) -> None:
    host.configure_submit()
    host.write("fedmsg.d/web.py", f"config = {{'relay_web': {[web.url for web in webs]!r}}}\n")


def lines(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.stdout().splitlines() if line.endswith("}")]


def bodies(process: Process) -> list[bytes]:
    return [line["body"].encode() for line in lines(process)]


def test_tail_has_history_and_live_across_restarts_of_relay_and_web(bus: Bus, web: Web) -> None:
    sent = numbered(20_000)
    submitter = bus.sockets.submitter(bus.host.submit)
    submit(submitter, sent[:1000])
    tail = bus.host.start("fedmsg-relay", "tail", "--since", "1", "--topic", "org.example.test.numbered", "--json")
    wait_until(lambda: len(lines(tail)) >= 1000, "history")
    with ThreadPoolExecutor(1) as beside:
        flow = beside.submit(submit, submitter, sent[1000:])
        for _ in range(3):
            heard = len(lines(tail))
            wait_until(lambda: len(lines(tail)) >= heard + 1000, "messages flow")  # noqa: B023 -- it ends here
            bus.relay.stop()
            bus.relay.start()
        web.running.kill()
        web.start()
        flow.result(PATIENCE)
    wait_until(lambda: len(lines(tail)) >= 20_000, "all messages")
    compare(bodies(tail), [body for _, body in sent])
    assert tail.stop(signal.SIGINT) == 130


def submit(submitter: Submitter, messages: list[Message]) -> None:
    """Submit messages in batches, each again until there is a receipt: a relay takes none of them twice."""
    for start in range(0, len(messages), 100):
        submitter.send(*messages[start : start + 100])
        while submitter.answer_if_any(1.0) is None:
            submitter.send(*messages[start : start + 100])
        while submitter.answer_if_any(0.0):
            pass


def test_tail_goes_through_three_restarts_and_a_move_while_messages_flow(
    site: Callable[[], Site], sockets: Sockets
) -> None:
    old, new = site(), site()
    with (
        contextlib.closing(Web(old.host)) as old_web,
        contextlib.closing(Web(new.host)) as new_web,
        ThreadPoolExecutor(1) as beside,
    ):
        web_settings = old.host.settings_file.read_text()
        old.relay.start()
        configure(old.host, old_web)
        old_web.start()
        sent = numbered(20_000)
        options = ("--since", "1", "--topic", "org.example.test.numbered", "--json")
        tail = old.host.start("fedmsg-relay", "tail", *options)

        def flows(until: int) -> None:
            wait_until(lambda: len(lines(tail)) >= until, f"{until} messages")

        to_old = beside.submit(submit, sockets.submitter(old.host.submit), sent[:12_000])
        flows(1000)
        old.restart()
        flows(4000)
        old.relay.stop()
        chained(old, new)  # the second start; from now on the old relay hands over
        old.host.settings_file.write_text(old.host.settings_file.read_text() + web_settings)
        new_web.start()
        to_old.result(PATIENCE)
        flows(12_000)
        to_new = beside.submit(submit, sockets.submitter(new.host.submit), sent[12_000:])
        configure(old.host, new_web)  # as the role does, when the new relay is proven
        old_web.running.kill()
        flows(14_000)
        new.restart()
        to_new.result(PATIENCE)
        flows(20_000)
        compare(bodies(tail), [body for _, body in sent])


def test_tail_in_python_is_ten_lines(bus: Bus, web: Web) -> None:
    first, *rest = numbered(100)
    bus.pass_through([first])
    code = """
import fedmsg_relay

for message in fedmsg_relay.tail(after="2026-numbered-0"):
    print(message.seq, message.topic, message.body["i"], flush=True)
"""
    wait_until(lambda: web.get("/id", {"id": "2026-numbered-0"}).code == 200, "the first message is found")
    listener = bus.host.start("python", "-c", code)
    bus.pass_through(rest)
    wait_until(lambda: len(listener.stdout().splitlines()) >= 99, "all messages")
    assert [int(line.split()[2]) for line in listener.stdout().splitlines()] == list(range(1, 100))
    assert listener.stop(signal.SIGINT) != 0


def test_tail_says_once_that_nobody_answers_and_comes_back(host: Host) -> None:
    with contextlib.closing(Web(host)) as web:
        configure(host, web)
        tail = host.start("fedmsg-relay", "tail")
        wait_until(lambda: "no web process answers at" in tail.stderr(), "tail says that nobody answers")
        assert len(tail.stderr().splitlines()) == 1
        assert tail.alive()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--after", "999999"], 64, "the relay has no message 999999"),
        (["--after", "9" * 30], 64, "no message can have this number"),
        (["--after", os.fsdecode(b"\xff")], 64, "no message has such a name"),
        (["--since", "soon"], 64, "--since"),
        (["--since", "1", "--after", "1"], 64, "not allowed with"),
    ],
    ids=str,
)
def test_tail_refuses_a_place_that_is_not_there(web: Web, options: list[str], code: int, said: str) -> None:
    ran = web.host.run("fedmsg-relay", "tail", *options, timeout=PATIENCE)
    assert ran.code == code
    assert said in ran.one_error_line()


def test_a_relay_web_that_is_not_a_url_is_one_line(host: Host) -> None:
    host.write("fedmsg.d/web.py", "config = {'relay_web': 'tcp://app01:9943'}\n")
    ran = host.run("fedmsg-relay", "tail")
    assert ran.code == 78
    assert "relay_web: 'tcp://app01:9943' is not a URL" in ran.one_error_line()


def test_tail_has_each_message_of_two_relays_once_whichever_is_down(site: Callable[[], Site], sockets: Sockets) -> None:
    """In the order of each relay. What both have, as after a retry at the other one, comes once."""
    with two_relays(site) as (first, second, one, _):
        here, there = numbered(3000), [envelope("org.example.test.numbered.there", n) for n in range(3000)]
        both = [envelope("org.example.test.numbered.both", n) for n in range(200)]
        submitters = [sockets.submitter(relay.host.submit) for relay in (first, second)]
        submit(submitters[0], [*here[:1000], *both[:100]])
        submit(submitters[1], [*both[:100], *there[:1000]])
        tail = first.host.start("fedmsg-relay", "tail", "--since", "1", "--topic", "org.example.test.numb", "--json")
        wait_until(lambda: len(lines(tail)) >= 2100, "history of both")
        one.running.kill()
        submit(submitters[1], [*there[1000:2000], *both[100:]])
        wait_until(lambda: len(lines(tail)) >= 3200, "live of the other one")
        submit(submitters[0], [*both[100:], *here[1000:]])
        one.start()
        second.relay.stop()
        second.relay.start()
        submit(submitters[1], there[2000:])
        wait_until(lambda: len(lines(tail)) >= 6200, "all of both")
        got = bodies(tail)
        for wanted in (here, there, both):
            known = {body for _, body in wanted}
            compare([body for body in got if body in known], [body for _, body in wanted])
        assert len(got) == 6200


def test_two_addresses_of_one_relay_are_read_once(bus: Bus, web: Web) -> None:
    """As in a config that names a relay for two networks; one address may be out of reach, or go away."""
    alias = web.url.replace("127.0.0.1", "localhost")
    bus.host.write("fedmsg.d/web.py", f"config = {{'relay_web': {[NOBODY, web.url, alias]!r}}}\n")
    same = [(b"org.example.test.numbered", b'{"the": "same"}')] * 3
    sent = [*same, *numbered(200)]
    bus.pass_through(sent)
    options = ("--since", "1", "--topic", "org.example.test.numbered", "--json")
    tail = bus.host.start("fedmsg-relay", "tail", *options)
    wait_until(lambda: len(lines(tail)) >= len(sent), "history")
    wait_until(lambda: web.get("/metrics").body.count(b"fedmsg_relay_web_streams 1.0"), "one stream is left")
    web.running.kill()
    web.start()
    more = numbered(300, start=200)
    bus.pass_through(more)
    wait_until(lambda: len(lines(tail)) >= len(sent) + len(more), "it goes on")
    compare(bodies(tail), [body for _, body in [*sent, *more]])


def test_a_number_is_not_a_place_where_there_are_several_relays(bus: Bus, web: Web) -> None:
    bus.host.write("fedmsg.d/web.py", f"config = {{'relay_web': {[web.url, NOBODY]!r}}}\n")
    ran = bus.host.run("fedmsg-relay", "tail", "--after", "1")
    assert ran.code == 64
    assert "the config names 2: name a msg_id, or begin at a time" in ran.one_error_line()


def test_a_name_that_only_one_of_two_relays_has_is_a_place_for_both(site: Callable[[], Site], sockets: Sockets) -> None:
    with two_relays(site) as (first, second, one, other):
        here, there = numbered(20), [envelope("org.example.test.there", n) for n in range(20)]
        submit(sockets.submitter(first.host.submit), here)
        submit(sockets.submitter(second.host.submit), there)
        wait_until(lambda: one.get("/id", {"id": "2026-numbered-9"}).code == 200, "the message is found")
        wait_until(lambda: other.get("/id", {"id": "2026-numbered-9"}).code == 404, "the other index is complete")
        tail = first.host.start("fedmsg-relay", "tail", "--after", "2026-numbered-9", "--json")
        wait_until(lambda: len(lines(tail)) >= 30, "all of both")
        assert sorted(bodies(tail)) == sorted(body for _, body in [*here[10:], *there])
