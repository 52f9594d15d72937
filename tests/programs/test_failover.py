"""Two relays in the global config: a script does not notice which one takes its messages, and loses none."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Iterator

import pytest

from fedmsg_relay.errors import EX_UNAVAILABLE
from harness import wait_until
from messages import compare
from pairs import Pair, journaled, log
from ports import unread
from spooled import LOOKING

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


@contextlib.contextmanager
def series(pair: Pair) -> Iterator[list[list[str]]]:
    """Something happens to the first relay amid a series; number and relay of each message, once it is over."""
    receipts: list[list[str]] = []
    script = pair.host.start("python", "-c", SERIES)
    wait_until(lambda: script.stdout().count("\n") >= 50, "the series is under way")
    yield receipts
    wait_until(lambda: script.stdout().count(pair.second.host.submit) >= 50, "it goes on with the second")
    pair.host.write("enough", "")
    assert script.wait() == 0, script.stderr()
    receipts += [line.split() for line in script.stdout().splitlines()]
    assert [int(number) for number, _ in receipts] == list(range(len(receipts)))


def test_with_both_alive_the_first_takes_it(pair: Pair) -> None:
    ran = log(pair.host, "hello")
    assert (ran.code, ran.stderr) == (0, "")
    assert [journaled(relay) for relay in pair.relays] == [[{"log": "hello"}], []]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
def test_the_second_relay_takes_a_message_if_the_first_is_dead_or_frozen(pair: Pair, end: signal.Signals) -> None:
    pair.configure(spool=True)
    pair.first.running.send_signal(end)
    if end != signal.SIGSTOP:
        pair.first.running.wait()
    ran = log(pair.host, "hello")
    pair.first.running.send_signal(signal.SIGCONT)
    assert (ran.code, ran.stderr) == (0, ""), "neither an error nor, after 2 s, spooled"
    assert [journaled(relay) for relay in pair.relays] == [[], [{"log": "hello"}]]


def test_a_series_goes_on_at_the_second_relay_when_the_first_is_killed(pair: Pair) -> None:
    pair.configure(spool=True)
    with series(pair) as receipts:
        pair.first.kill()
    in_first, in_second = ([msg["n"] for msg in journaled(relay)] for relay in pair.relays)
    # Each where its receipt says; only what the first did not get to acknowledge may be in both.
    taken_by = {
        pair.first.host.submit: {str(n) for n in in_first},
        pair.second.host.submit: {str(n) for n in in_second},
    }
    assert [(number, address) for number, address in receipts if number not in taken_by[address]] == []
    assert in_first == list(range(len(in_first)))
    assert in_second == list(range(int(str(in_second[0])), len(receipts)))
    assert len(in_first) - int(str(in_second[0])) in (0, 1)


def test_a_series_goes_on_at_the_second_relay_when_the_first_is_frozen(pair: Pair) -> None:
    pair.configure(spool=True)
    try:
        with series(pair) as receipts:
            pair.first.running.send_signal(signal.SIGSTOP)
    finally:
        pair.first.running.send_signal(signal.SIGCONT)
    used = [address for _, address in receipts]
    switched = used.index(pair.second.host.submit)
    count = len(receipts)
    assert used == [pair.first.host.submit] * switched + [pair.second.host.submit] * (count - switched)
    assert [msg["n"] for msg in journaled(pair.second)] == list(range(switched, count))


def test_with_both_dead_it_is_said_which_were_asked(pair: Pair) -> None:
    for relay in pair.relays:
        relay.kill()
    ran = log(pair.host, "hello", "--timeout", "1")
    assert ran.code == EX_UNAVAILABLE
    assert ran.within(LOOKING)
    line = ran.one_error_line()
    assert all(relay.host.submit in line for relay in pair.relays)
    assert "not acknowledged" in line


def test_with_both_relays_dead_a_message_is_spooled_and_delivered_later(pair: Pair) -> None:
    pair.configure(spool=True)
    for relay in pair.relays:
        relay.kill()
    assert "2 spooled" in pair.host.run("fedmsg-logger", stdin="one\ntwo\n").one_error_line()
    pair.second.start()
    assert pair.host.run("fedmsg-relay", "spool", "deliver", "--patience", "10").code == 0
    assert journaled(pair.second) == [{"log": "one"}, {"log": "two"}]


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


def test_after_an_interruption_a_receipt_is_still_that_of_its_own_message(pair: Pair) -> None:
    pair.host.configure_submit([pair.first.host.submit], "")
    ran = pair.host.run("python", "-c", INTERRUPTED, str(pair.first.pid))
    assert ran.code == 0, ran.stderr
    seq, msg_id = ran.stdout.split()
    with contextlib.closing(sqlite3.connect(pair.first.host.journal_file)) as db:
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


def test_a_relay_restarted_with_a_request_in_flight_is_asked_again(pair: Pair) -> None:
    pair.host.configure_submit([pair.first.host.submit], "")
    script = pair.host.start("python", "-c", IN_FLIGHT, str(pair.first.pid))
    wait_until(script.stdout, "the relay stands still")
    wait_until(lambda: unread(pair.first.host.submit), "the request waits at the relay")
    pair.first.kill()
    pair.first.start()
    assert script.wait() == 0, script.stderr()
    assert script.stdout().splitlines()[-1] == "2"
    assert journaled(pair.first) == [{"n": 0}, {"n": 1}]


def test_10000_lines_go_in_order_and_in_few_round_trips(pair: Pair) -> None:
    ran = pair.host.run("fedmsg-logger", stdin="".join(f"{n}\n" for n in range(10_000)))
    assert (ran.code, ran.stderr) == (0, "")
    compare([msg["log"] for msg in journaled(pair.first)], [str(n) for n in range(10_000)])
    with contextlib.closing(sqlite3.connect(pair.first.host.journal_file)) as db:
        # A request is journaled at one moment, and the next one comes after its answer.
        (trips,) = db.execute("SELECT count(DISTINCT time) FROM message").fetchone()
    assert 10 <= trips < 100


def test_lines_that_come_one_by_one_do_not_wait_for_each_other(pair: Pair) -> None:
    with pair.host.piped("fedmsg-logger") as lines:
        for n in range(5):
            lines.write(b"%d\n" % n)
            lines.flush()
            wait_until(lambda n=n: len(journaled(pair.first)) == n + 1, "the line is journaled")  # type: ignore[misc]
    assert [msg["log"] for msg in journaled(pair.first)] == [str(n) for n in range(5)]
