"""Chains that lead back to where they began: nothing is forwarded, and nothing is lost once the loop is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from cable import Cable
from harness import wait_until
from messages import compare, numbered
from sites import Site
from wire import Listener, Sockets


def has_heard(listener: Listener, count: int) -> bool:
    return len(listener.hear(0.05)) >= count


def test_a_ring_of_three_relays_loses_nothing_once_one_of_them_stands_alone(
    site: Callable[[], Site], sockets: Sockets
) -> None:
    sites = [site() for _ in range(3)]
    for one, upstream in zip(sites, [*sites[1:], sites[0]], strict=True):
        one.chain_to(upstream).relay.start()
    parts = [numbered(100, 100 * number) for number in range(3)]
    for one, part in zip(sites, parts, strict=True):
        one.wait_for_upstream("loop")
        assert sockets.submitter(one.host.submit).ask(*part)["status"] == "accepted"
        assert one.host.run("fedmsg-relay", "status").code == 2
        assert one.relay.messages()["waiting"] == 100
    listeners = [sockets.listener(one.host.outbound) for one in sites]
    for one in sites:
        wait_until(lambda: len(one.relay.status()["peers"]["listeners"]) == 2, "a listener and a chained relay")  # noqa: B023
    *_, opened = sites
    assert opened.relay.stop() == 0
    opened.stand_alone().relay.start()
    for one in sites[:2]:
        one.wait_for_upstream("joined")
    for listener in listeners[:2]:  # the third one may have come back too late for the first messages
        wait_until(partial(has_heard, listener, 300), "everything that waited")
        for part in parts:
            compare([message for message in listener.messages if message in part], part)
        assert len(listener.messages) == 300
    for one in sites:
        assert one.relay.settled()["waiting"] == 0
    assert sorted(opened.journaled()) == sorted(numbered(300))


def test_a_relay_that_is_chained_to_itself_by_another_address_forwards_nothing(old: Site, sockets: Sockets) -> None:
    with (
        contextlib.closing(Cable(old.host, old.host.submit)) as submit,
        contextlib.closing(Cable(old.host, old.host.outbound)) as outbound,
    ):
        old.host.write("relay.toml", f'[upstream]\nsubmit = ["{submit.address}"]\noutbound = ["{outbound.address}"]\n')
        old.relay.start()
        old.wait_for_upstream("loop")
        assert sockets.submitter(old.host.submit).ask(*numbered(10))["status"] == "accepted"
        old.restart()
        old.wait_for_upstream("loop")
        assert old.relay.messages()["waiting"] == 10
