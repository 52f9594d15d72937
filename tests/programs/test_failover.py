"""Two relays in the global config: a script does not notice which one takes its messages, and loses none."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
import zmq

from fedmsg_relay.errors import EX_UNAVAILABLE
from harness import Host, Ran, wait_until
from ports import unread
from relays import Relay
from spooled import LOOKING
from wire import compare

SERIES = """
import itertools, os
import fedmsg_relay as fedmsg

for n in itertools.count():
    receipt = fedmsg.publish(topic='series', msg={'n': n}, modname='test')
    print(n, receipt.address or 'spooled', flush=True)
    if os.path.exists('enough'):
        break
"""
"""A long-running script; a line for each message that it need not care about any more."""


@dataclass(frozen=True)
class Site:
    """A script's host, and the two relays that its config names."""

    host: Host
    first: Relay
    second: Relay

    @property
    def relays(self) -> tuple[Relay, Relay]:
        return self.first, self.second

    def configure(self, spool: bool = False) -> None:
        addresses = [relay.host.submit for relay in self.relays]
        self.host.configure_submit(addresses, None if spool else "")


def site_of(host: Host, relays: list[Relay]) -> Site:
    for relay in relays:
        relay.host.configure_submit()
        relay.start()
    return Site(host, *relays)


@pytest.fixture
def site(host: Host) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(contextlib.closing(Host())) for _ in range(2)]
        site = site_of(host, [stack.enter_context(contextlib.closing(Relay(one))) for one in hosts])
        site.configure()
        yield site


def journaled(relay: Relay) -> list[dict[str, object]]:
    """The text of each message in a relay's journal, in order."""
    with contextlib.closing(sqlite3.connect(relay.host.journal_file)) as db:
        return [json.loads(body)["msg"] for (body,) in db.execute("SELECT body FROM message ORDER BY seq")]


def log(host: Host, text: str, *options: str) -> Ran:
    return host.run("fedmsg-logger", "--message", text, *options)


@contextlib.contextmanager
def series(site: Site) -> Iterator[list[list[str]]]:
    """Something happens to the first relay amid a series; number and relay of each message, once it is over."""
    receipts: list[list[str]] = []
    script = site.host.start("python", "-c", SERIES)
    wait_until(lambda: script.stdout().count("\n") >= 50, "the series is under way")
    yield receipts
    wait_until(lambda: script.stdout().count(site.second.host.submit) >= 50, "it goes on with the second")
    site.host.write("enough", "")
    assert script.wait() == 0, script.stderr()
    receipts += [line.split() for line in script.stdout().splitlines()]
    assert [int(number) for number, _ in receipts] == list(range(len(receipts)))


def test_with_both_alive_the_first_takes_it(site: Site) -> None:
    ran = log(site.host, "hello")
    assert (ran.code, ran.stderr) == (0, "")
    assert [journaled(relay) for relay in site.relays] == [[{"log": "hello"}], []]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
def test_the_second_relay_takes_a_message_if_the_first_is_dead_or_frozen(site: Site, end: signal.Signals) -> None:
    site.configure(spool=True)
    site.first.running.send_signal(end)
    if end != signal.SIGSTOP:
        site.first.running.wait()
    ran = log(site.host, "hello")
    site.first.running.send_signal(signal.SIGCONT)
    assert (ran.code, ran.stderr) == (0, ""), "neither an error nor, after 2 s, spooled"
    assert [journaled(relay) for relay in site.relays] == [[], [{"log": "hello"}]]


def test_a_series_goes_on_at_the_second_relay_when_the_first_is_killed(site: Site) -> None:
    site.configure(spool=True)
    with series(site) as receipts:
        site.first.kill()
    in_first, in_second = ([msg["n"] for msg in journaled(relay)] for relay in site.relays)
    # Each where its receipt says; only what the first did not get to acknowledge may be in both.
    taken_by = {
        site.first.host.submit: {str(n) for n in in_first},
        site.second.host.submit: {str(n) for n in in_second},
    }
    assert [(number, address) for number, address in receipts if number not in taken_by[address]] == []
    assert in_first == list(range(len(in_first)))
    assert in_second == list(range(int(str(in_second[0])), len(receipts)))
    assert len(in_first) - int(str(in_second[0])) in (0, 1)


def test_a_series_goes_on_at_the_second_relay_when_the_first_is_frozen(site: Site) -> None:
    site.configure(spool=True)
    try:
        with series(site) as receipts:
            site.first.running.send_signal(signal.SIGSTOP)
    finally:
        site.first.running.send_signal(signal.SIGCONT)
    used = [address for _, address in receipts]
    switched = used.index(site.second.host.submit)
    count = len(receipts)
    assert used == [site.first.host.submit] * switched + [site.second.host.submit] * (count - switched)
    assert [msg["n"] for msg in journaled(site.second)] == list(range(switched, count))


def test_with_both_dead_it_is_said_which_were_asked(site: Site) -> None:
    for relay in site.relays:
        relay.kill()
    ran = log(site.host, "hello", "--timeout", "1")
    assert ran.code == EX_UNAVAILABLE
    assert ran.within(LOOKING)
    line = ran.one_error_line()
    assert all(relay.host.submit in line for relay in site.relays)
    assert "not acknowledged" in line


def test_with_both_relays_dead_a_message_is_spooled_and_delivered_later(site: Site) -> None:
    site.configure(spool=True)
    for relay in site.relays:
        relay.kill()
    assert "2 spooled" in site.host.run("fedmsg-logger", stdin="one\ntwo\n").one_error_line()
    site.second.start()
    assert site.host.run("fedmsg-relay", "spool", "deliver", "--patience", "10").code == 0
    assert journaled(site.second) == [{"log": "one"}, {"log": "two"}]


@contextlib.contextmanager
def answering(address: str, *answers: Mapping[str, object] | None) -> Iterator[list[int]]:
    """Somebody at the address with an answer for each request in turn, None being silence, and the last one for all
    that follow; how many messages each request had."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(address)
    asked: list[int] = []
    done = threading.Event()

    def answer_all() -> None:
        while not done.is_set():
            if router.poll(50):
                route, empty, version, *frames = router.recv_multipart()
                asked.append(len(frames) // 2)
                answer = answers[min(len(asked), len(answers)) - 1]
                if answer is not None:
                    router.send_multipart([route, empty, version, json.dumps(answer).encode()])

    thread = threading.Thread(target=answer_all)
    thread.start()
    try:
        yield asked
    finally:
        done.set()
        thread.join()
        router.close()
        context.term()


def test_the_second_is_asked_where_the_first_is_busy(site: Site) -> None:
    site.configure(spool=True)
    site.first.kill()
    with answering(site.first.host.submit, {"status": "busy", "retry_after": 30}) as asked:
        ran = log(site.host, "hello")
    assert (ran.code, ran.stderr) == (0, ""), "neither an error nor, after 2 s, spooled"
    assert asked == [1]
    assert journaled(site.second) == [{"log": "hello"}]


def test_a_full_spool_in_a_series_is_told_with_how_many_were_sent(site: Site) -> None:
    site.configure(spool=True)
    for relay in site.relays:
        relay.kill()
    lines = "x\n" * 11_500
    with answering(site.first.host.submit, {"status": "accepted", "seq": [1, 1000]}, None) as asked:
        ran = site.host.run("fedmsg-logger", stdin=lines)
    assert asked[:2] == [1000, 1000]
    assert ran.code == EX_UNAVAILABLE
    assert "stopped at line 1001 of stdin, before it 1000 were sent and 0 spooled" in ran.one_error_line()


def test_a_message_that_the_first_relay_refuses_is_not_sent_to_the_second(site: Site) -> None:
    site.first.kill()
    refusal = {"status": "refused", "reason": "too-large", "detail": "message 1 of 1"}
    with answering(site.first.host.submit, refusal) as asked:
        ran = log(site.host, "hello")
    assert ran.code == 65
    assert "too-large" in ran.one_error_line()
    assert asked == [1]
    assert journaled(site.second) == []


NO_ANSWERS: dict[str, Mapping[str, object]] = {
    "no status": {},
    "a status of its own": {"status": "thanks"},
    "a receipt without its numbers": {"status": "accepted"},
    "a receipt with one number": {"status": "accepted", "seq": 7},
    "a receipt with numbers that are none": {"status": "accepted", "seq": ["7", None]},
    "a refusal without a reason": {"status": "refused"},
    "a busy without its pause": {"status": "busy", "retry_after": None},
    "a pause in words": {"status": "busy", "retry_after": "soon"},
    "a pause below zero": {"status": "busy", "retry_after": -3},
    "a pause that is no number": {"status": "busy", "retry_after": float("nan")},
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_an_answer_that_the_protocol_does_not_have_is_no_receipt(host: Host, answer: Mapping[str, object]) -> None:
    host.configure_submit(spool="")
    with answering(host.submit, answer) as asked:
        ran = log(host, "hello", "--timeout", "1")
        assert ran.code == EX_UNAVAILABLE
        assert f"{host.submit} gave no receipt" in ran.one_error_line()
        assert 1 <= len(asked) <= 15, "asked again, with a pause between"


def test_the_second_relay_is_asked_if_the_first_answers_out_of_protocol(site: Site) -> None:
    site.first.kill()
    with answering(site.first.host.submit, {"status": "accepted", "seq": None}) as asked:
        ran = log(site.host, "hello")
    assert (ran.code, ran.stderr) == (0, "")
    assert asked == [1]
    assert journaled(site.second) == [{"log": "hello"}]


INTERRUPTED = """
import os, signal, sys
import fedmsg_relay as fedmsg

class Enough(BaseException):
    pass

def enough(*_):
    raise Enough

relay = int(sys.argv[1])
fedmsg.publish(topic='t', msg={'n': 0}, modname='test')
os.kill(relay, signal.SIGSTOP)
signal.signal(signal.SIGALRM, enough)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    fedmsg.publish(topic='t', msg={'n': 1}, modname='test')
except Enough:
    os.kill(relay, signal.SIGCONT)
receipt = fedmsg.publish(topic='t', msg={'n': 2}, modname='test')
print(receipt.seq, receipt.msg_id)
"""


def test_after_an_interruption_a_receipt_is_still_that_of_its_own_message(site: Site) -> None:
    site.host.configure_submit([site.first.host.submit], "")
    ran = site.host.run("python", "-c", INTERRUPTED, str(site.first.pid))
    assert ran.code == 0, ran.stderr
    seq, msg_id = ran.stdout.split()
    with contextlib.closing(sqlite3.connect(site.first.host.journal_file)) as db:
        assert db.execute("SELECT seq FROM message WHERE msg_id = ?", (msg_id,)).fetchall() == [(int(seq),)]


IN_FLIGHT = """
import os, signal, sys
import fedmsg_relay as fedmsg
from fedmsg_relay import submitter

submitter.ANSWER_SECONDS = 120  # what is noticed is that the connection ended, not that the answer is late
fedmsg.publish(topic='t', msg={'n': 0}, modname='test')
os.kill(int(sys.argv[1]), signal.SIGSTOP)
while 'T (stopped)' not in open(f'/proc/{sys.argv[1]}/status').read():
    pass
print('the relay stands still', flush=True)
print(fedmsg.publish(topic='t', msg={'n': 1}, modname='test', timeout=120).seq)
"""


def test_a_relay_restarted_with_a_request_in_flight_is_asked_again(site: Site) -> None:
    site.host.configure_submit([site.first.host.submit], "")
    script = site.host.start("python", "-c", IN_FLIGHT, str(site.first.pid))
    wait_until(script.stdout, "the relay stands still")
    wait_until(lambda: unread(site.first.host.submit), "the request waits at the relay")
    site.first.kill()
    site.first.start()
    assert script.wait() == 0, script.stderr()
    assert script.stdout().splitlines()[-1] == "2"
    assert journaled(site.first) == [{"n": 0}, {"n": 1}]


def test_a_single_relay_whose_answer_does_not_come_is_asked_again(site: Site) -> None:
    site.first.kill()
    site.host.configure_submit([site.first.host.submit], "")
    with answering(site.first.host.submit, None, {"status": "accepted", "seq": [7, 7], "duplicates": 1}) as asked:
        ran = log(site.host, "hello")
    assert (ran.code, ran.stderr) == (0, "")
    assert asked == [1, 1]


def test_10000_lines_go_in_order_and_in_few_round_trips(site: Site) -> None:
    ran = site.host.run("fedmsg-logger", stdin="".join(f"{n}\n" for n in range(10_000)))
    assert (ran.code, ran.stderr) == (0, "")
    compare([msg["log"] for msg in journaled(site.first)], [str(n) for n in range(10_000)])
    with contextlib.closing(sqlite3.connect(site.first.host.journal_file)) as db:
        # A request is journaled at one moment, and the next one comes after its answer.
        (trips,) = db.execute("SELECT count(DISTINCT time) FROM message").fetchone()
    assert 10 <= trips < 100


def test_lines_that_come_one_by_one_do_not_wait_for_each_other(site: Site) -> None:
    with site.host.piped("fedmsg-logger") as lines:
        for n in range(5):
            lines.write(b"%d\n" % n)
            lines.flush()
            wait_until(lambda n=n: len(journaled(site.first)) == n + 1, "the line is journaled")  # type: ignore[misc]
    assert [msg["log"] for msg in journaled(site.first)] == [str(n) for n in range(5)]
