"""Large messages in a chained relay: bounded memory, and none of them holds up the others."""

from __future__ import annotations

import contextlib

from bus import join
from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE
from harness import PATIENCE, wait_until
from hostile import Hostile
from messages import envelope, numbered
from sites import Site
from wire import Sockets

LARGE = 8 * 1024 * 1024


def test_large_waiting_messages_are_forwarded_without_all_being_in_memory(
    old: Site, new: Site, sockets: Sockets
) -> None:
    old.chain_to(new).relay.start()
    client = sockets.submitter(old.host.submit)
    large = [envelope("org.example.test.large", number, filler="x" * LARGE) for number in range(30)]
    for message in large:
        assert client.ask(message)["status"] == "accepted"
    before = old.relay.memory()
    most = 0
    listener = sockets.listener(new.host.outbound)
    new.relay.start()

    def out() -> bool:
        nonlocal most
        most = max(most, old.relay.memory())
        return len(listener.hear(0.01)) == len(large)

    wait_until(out, "all of it is upstream", 3 * PATIENCE)
    listener.expect(large)
    assert most - before < 12 * LARGE


def test_a_message_larger_than_all_that_may_wait_holds_up_nothing(old: Site, new: Site, sockets: Sockets) -> None:
    limit = f"[limits]\nmax_message_size = {8 * LARGE}\n"
    new.host.write("relay.toml", limit)
    new.relay.start()
    settings = old.chain_to(new).host.settings_file
    settings.write_text(settings.read_text() + limit)
    old.join()
    large = envelope("org.example.test.large", 0, filler="x" * (5 * LARGE))
    listener = sockets.listener(new.host.outbound)
    publisher = sockets.publisher(old.host.inbound)
    join(publisher, listener)
    publisher.send_all([large, *numbered(3)])
    listener.expect([large, *numbered(3)])


def test_the_largest_message_is_submitted_again_when_it_gets_no_receipt(old: Site, sockets: Sockets) -> None:
    topic = b"org.example.test.largest"
    largest = topic, b'"' + b"x" * (DEFAULT_MAX_MESSAGE_SIZE - len(topic) - 2) + b'"'
    with contextlib.closing(Hostile(old.host)) as hostile:
        old.host.write("relay.toml", f'[upstream]\nsubmit = ["{hostile.submit}"]\noutbound = ["{hostile.outbound}"]\n')
        hostile.take = lambda _: [b"not an answer"]
        old.relay.start()
        listener = sockets.listener(old.host.outbound)
        assert sockets.submitter(old.host.submit).ask(largest)["status"] == "accepted"
        old.relay.wait_for_log("upstream", "away: it sent bytes that are not an answer")
        hostile.behave()
        listener.wait_for(largest)
