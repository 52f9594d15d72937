"""A chained relay whose upstream is hostile, or whose host is out of file descriptors or has no name server."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator

import pytest

from bus import join
from fedmsg_relay.daemon.forwarding import SHORTEST_RETRY_SECONDS
from harness import BUSY, wait_until
from hostile import CHAIN, Answer, Hostile
from messages import Message, envelope, numbered
from resolver import Resolver
from sites import Site, chained
from wire import Sockets


@pytest.fixture
def hostile(old: Site) -> Iterator[Hostile]:
    with contextlib.closing(Hostile(old.host)) as hostile:
        old.host.write("relay.toml", f'[upstream]\nsubmit = ["{hostile.submit}"]\noutbound = ["{hostile.outbound}"]\n')
        yield hostile


def upstream_lines(site: Site) -> list[str]:
    return site.relay.log_lines("] upstream ")


NESTED = b"[" * 30_000 + b"]" * 30_000

TO_A_BATCH: dict[str, list[Answer]] = {
    "pause-nan": [b'{"status": "busy", "retry_after": NaN}'],
    "pause-infinite": [b'{"status": "busy", "retry_after": 1e999}'],
    "pause-negative": [{"status": "busy", "retry_after": -1}],
    "pause-bool": [{"status": "busy", "retry_after": True}],
    "pause-text": [{"status": "busy", "retry_after": "1"}],
    "pause-missing": [{"status": "busy"}],
    "nested": [NESTED],
    "nested-in-an-answer": [b'{"status": "busy", "retry_after": 1, "x": ' + NESTED + b"}"],
    "huge": [b" " * 3_000_000],
    "seq-a-number": [{"status": "accepted", "seq": 5, "duplicates": 0}],
    "seq-text": [{"status": "accepted", "seq": ["1", "1"], "duplicates": 0}],
    "of-another-batch": [{"status": "accepted", "seq": [1, 7], "duplicates": 0}],
    "more-duplicates-than-messages": [{"status": "accepted", "seq": [1, 1], "duplicates": 2}],
    "twice": [{"status": "refused", "reason": "\n"}, {"status": "busy", "retry_after": 0}],
    "not-json": [b"\xff\xfe"],
    "a-list": [b"[1]"],
    "an-introduction": [CHAIN],
}

TO_AN_INQUIRY: dict[str, list[Answer]] = {
    "chain-a-number": [CHAIN | {"chain": 5}],
    "chain-of-numbers": [CHAIN | {"chain": [1]}],
    "chain-of-lines": [CHAIN | {"chain": ["a\nb"]}],
    "chain-empty": [CHAIN | {"chain": []}],
    "chain-long": [CHAIN | {"chain": ["x"] * 10_000}],
    "complete-text": [CHAIN | {"complete": "yes"}],
    "nested": [NESTED],
    "huge": [b" " * 3_000_000],
    "a-receipt": [{"status": "accepted", "seq": [1, 1], "duplicates": 0}],
    "a-thousand-times": [CHAIN] * 1000,
}


def survives(old: Site, hostile: Hostile, sockets: Sockets) -> None:
    """The relay says in a few lines that upstream is away, tries again and again, and goes on when it behaves."""
    old.relay.start()
    client = sockets.submitter(old.host.submit)
    listener = sockets.listener(old.host.outbound)
    assert client.ask(envelope("org.example.test.hostile", 0))["status"] == "accepted"
    line = old.relay.wait_for_log("upstream", "away: ")
    asked = hostile.asked
    wait_until(lambda: hostile.asked >= asked + 4, "it is tried again and again")
    assert len(upstream_lines(old)) <= 8, upstream_lines(old)
    assert len(line) < 300
    hostile.behave()
    listener.wait_for(envelope("org.example.test.hostile", 0))
    assert old.relay.settled()["published"] == 1
    assert "Traceback" not in old.relay.running.stderr() + old.relay.log()
    assert old.relay.stop() == 0


@pytest.mark.parametrize("name", TO_A_BATCH)
def test_a_wrong_answer_to_a_batch_sets_the_link_away_and_it_is_retried(
    old: Site, hostile: Hostile, sockets: Sockets, name: str
) -> None:
    hostile.take = lambda _: TO_A_BATCH[name]
    survives(old, hostile, sockets)


@pytest.mark.parametrize("name", TO_AN_INQUIRY)
def test_a_wrong_answer_to_an_inquiry_sets_the_link_away_and_it_is_retried(
    old: Site, hostile: Hostile, sockets: Sockets, name: str
) -> None:
    hostile.introduce = lambda: TO_AN_INQUIRY[name]
    survives(old, hostile, sockets)


def test_a_larger_size_reaches_the_link_when_it_is_reloaded(old: Site, hostile: Hostile, sockets: Sockets) -> None:
    large = (b"org.example.test.large", b'"' + b"x" * 70_000_000 + b'"')

    hostile.behave()
    upstream = old.host.settings_file.read_text()
    old.relay.start()
    old.wait_for_upstream("joined")
    client = sockets.submitter(old.host.submit)
    listener = sockets.listener(old.host.outbound)
    first, second, third = numbered(3)
    assert client.ask(first)["status"] == "accepted"
    listener.wait_for(first)
    listener.forget()
    hostile.also_publish = [large]
    assert client.ask(second)["status"] == "accepted"
    listener.expect([second])
    old.relay.wait_for_log("WARNING", "publishes messages of more than 67108864 bytes, which are not forwarded")
    old.host.write("relay.toml", f"{upstream}[limits]\nmax_message_size = 134217728\n")
    old.relay.reload()
    assert client.ask(third)["status"] == "accepted"
    listener.expect([large, third])
    assert old.relay.settled()["published"] == 3


def test_upstream_may_put_off_a_batch_for_years_it_is_asked_again_soon(
    old: Site, hostile: Hostile, sockets: Sockets
) -> None:
    hostile.take = lambda _: [{"status": "busy", "retry_after": 1e12}]
    old.relay.start()
    client = sockets.submitter(old.host.submit)
    listener = sockets.listener(old.host.outbound)
    assert client.ask(*numbered(1))["status"] == "accepted"
    old.wait_for_upstream("joined")
    wait_until(lambda: hostile.asked > 2, "it is asked who it is")
    hostile.behave()
    listener.wait_for(numbered(1)[0])


def test_upstream_that_puts_a_batch_off_for_no_time_is_not_asked_without_end(
    old: Site, hostile: Hostile, sockets: Sockets
) -> None:
    batches: list[float] = []

    def put_off(_: list[Message]) -> list[Answer]:
        batches.append(time.monotonic())
        return [{"status": "busy", "retry_after": 0}]

    hostile.take = put_off
    old.relay.start()
    assert sockets.submitter(old.host.submit).ask(*numbered(1))["status"] == "accepted"
    wait_until(lambda: len(batches) > 10, "it is tried again and again")
    assert batches[10] - batches[0] > 10 * SHORTEST_RETRY_SECONDS * 0.9


def test_messages_that_may_not_be_forwarded_yet_are_held_within_bounds(
    old: Site, hostile: Hostile, sockets: Sockets
) -> None:
    hostile.introduce = hostile.flood
    old.relay.start()
    client = sockets.submitter(old.host.submit)
    assert client.ask(*numbered(1))["status"] == "accepted"
    before, asked = old.relay.memory(), 0

    def full() -> bool:
        """TCP holds it back: it has asked, and nothing more could be published."""
        nonlocal asked
        asked, published = hostile.asked, hostile.published
        wait_until(lambda: hostile.asked > asked + 10, "it goes on asking")
        return hostile.published == published

    wait_until(full, "no more is taken")
    assert hostile.published > 32
    assert client.ask(*numbered(1, 1))["status"] == "accepted"
    assert old.relay.memory() - before < 100 * 2**20


FEW_FILES = 12
"""Fewer than a relay has open, so that it gets no further one; more than it polls at once, which has the same limit."""


def test_without_file_descriptors_the_link_is_away_until_there_are_some(old: Site, new: Site, sockets: Sockets) -> None:
    chained(old, new)
    client = sockets.submitter(old.host.submit)
    listener = sockets.listener(old.host.outbound)
    join(sockets.publisher(old.host.inbound), listener)
    wait_until(lambda: client.ask(*numbered(1))["status"] == "accepted", "a receipt")
    listener.expect(numbered(1))
    before = resource.prlimit(old.relay.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(old.relay.pid, resource.RLIMIT_NOFILE, (FEW_FILES, before[1]))
    new.relay.kill()
    new.relay.start()
    old.relay.wait_for_log("upstream", "away: Too many open files")
    lines = len(upstream_lines(old))
    assert client.ask(*numbered(1, 1))["status"] == "accepted"
    resource.prlimit(old.relay.pid, resource.RLIMIT_NOFILE, before)
    listener.wait_for(numbered(1, 1)[0])  # the first one may come again: upstream was killed
    assert len(upstream_lines(old)) <= lines + 2
    assert "Traceback" not in old.relay.running.stderr() + old.relay.log()
    old.wait_for_upstream("joined")


@pytest.fixture
def resolver(old: Site) -> Iterator[Resolver]:
    with contextlib.closing(Resolver(old.host)) as resolver:
        old.relay.program = resolver.wrap("fedmsg-relay")
        yield resolver


UPSTREAM_BY_NAME = '[upstream]\nsubmit = ["tcp://up.example.org:9942"]\noutbound = ["tcp://up.example.org:3999"]\n'


def test_a_silent_name_server_holds_up_neither_start_nor_receipts(
    old: Site, resolver: Resolver, sockets: Sockets
) -> None:
    old.host.write("relay.toml", UPSTREAM_BY_NAME.replace("9942", old.host.submit.rpartition(":")[2]))
    started = time.monotonic()
    old.relay.start()
    assert time.monotonic() - started < BUSY
    assert resolver.asked()
    client = sockets.submitter(old.host.submit)
    slowest = 0.0
    for number in range(20):
        asked = time.monotonic()
        assert client.ask(*numbered(1, number))["status"] == "accepted"
        slowest = max(slowest, time.monotonic() - asked)
    assert slowest < BUSY
    old.relay.wait_for_log("upstream", "away: the name up.example.org did not resolve in time")
    started = time.monotonic()
    assert old.relay.stop() == 0
    assert time.monotonic() - started < BUSY


def test_check_config_does_not_wait_for_the_name_of_an_upstream(old: Site, resolver: Resolver) -> None:
    old.host.write("relay.toml", UPSTREAM_BY_NAME.replace("9942", old.host.submit.rpartition(":")[2]))
    ran = resolver.run("fedmsg-relay", "check-config", "--settings", old.host.settings_file)
    assert ran.code == 0, ran.stderr
    assert "would be chained to submit tcp://up.example.org" in ran.stdout
    assert resolver.asked()
    assert ran.within(0)


def test_the_name_of_an_upstream_is_looked_up_anew_for_each_connection(
    old: Site, new: Site, resolver: Resolver, sockets: Sockets
) -> None:
    """As after a move: a name leads to another address, and the relay has not been restarted."""
    resolver.know(**{"up.example.org": "127.0.0.9"})
    new.relay.start()
    by_name = [address.replace("127.0.0.1", "up.example.org") for address in (new.host.submit, new.host.outbound)]
    old.host.write("relay.toml", '[upstream]\nsubmit = ["{}"]\noutbound = ["{}"]\n'.format(*by_name))
    old.relay.start()
    old.relay.wait_for_log("upstream", "away: Connection refused")
    resolver.know(**{"up.example.org": "127.0.0.1"})
    old.wait_for_upstream("joined")
    listener = sockets.listener(new.host.outbound)
    join(sockets.publisher(new.host.inbound), listener)
    assert sockets.submitter(old.host.submit).ask(*numbered(1))["status"] == "accepted"
    listener.wait_for(numbered(1)[0])
