"""A chained relay whose disk is full: what it cannot journal is in memory until the upstream has it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from bus import join
from disk import Disk
from harness import wait_until
from messages import Message, compare, envelope, numbered
from sites import Site, chained
from wire import Publisher, Sockets, Submitter


@pytest.fixture
def disk(old: Site) -> Iterator[Disk]:
    """The disk of the chained relay, which ends before it."""
    with contextlib.closing(Disk(old.host)) as disk, contextlib.closing(old.relay):
        yield disk


def publish_unjournaled(old: Site, disk: Disk, publisher: Publisher, messages: list[Message]) -> None:
    before = old.relay.messages()["unjournaled"]
    disk.fill()
    publisher.send_all(messages)
    wait_until(
        lambda: old.relay.messages()["unjournaled"] == before + len(messages), "messages that could not be journaled"
    )
    disk.free()


def wait_for_receipt(client: Submitter, message: Message) -> None:
    wait_until(lambda: client.ask(message)["status"] == "accepted", "a receipt again")


def test_unjournaled_messages_are_kept_until_upstream_has_them(
    old: Site, new: Site, disk: Disk, sockets: Sockets
) -> None:
    chained(old, new)
    publisher = sockets.publisher(old.host.inbound)
    join(publisher, sockets.stock_listener(new.host.outbound))
    os.kill(new.relay.pid, signal.SIGSTOP)
    unjournaled = numbered(50)
    publish_unjournaled(old, disk, publisher, unjournaled)
    receipted = envelope("submit", 0)
    wait_for_receipt(sockets.submitter(old.host.submit), receipted)
    new.relay.kill()
    new.relay.start()
    assert old.relay.settled()["waiting"] == 0
    compare(new.journaled()[-51:], [*unjournaled, receipted])


def test_messages_keep_their_order_though_some_are_not_journaled(
    old: Site, new: Site, disk: Disk, sockets: Sockets
) -> None:
    chained(old, new)
    publisher = sockets.publisher(old.host.inbound)
    listener = sockets.listener(new.host.outbound)
    join(publisher, listener)
    client = sockets.submitter(old.host.submit)
    os.kill(new.relay.pid, signal.SIGSTOP)
    sent: list[Message] = []
    for part in range(3):
        journaled, unjournaled = numbered(50, 100 * part), numbered(50, 100 * part + 50)
        before = old.relay.messages()["journaled"]
        publisher.send_all(journaled)
        wait_until(lambda: old.relay.messages()["journaled"] == before + 50, "journaled messages")  # noqa: B023
        publish_unjournaled(old, disk, publisher, unjournaled)
        wait_for_receipt(client, marker := envelope("org.example.test.submit", part))
        sent += [*journaled, *unjournaled, marker]
    os.kill(new.relay.pid, signal.SIGCONT)
    listener.expect(sent)
    assert old.relay.settled()["waiting"] == 0
    compare(new.journaled()[-len(sent) :], sent)
