"""The status of a chained relay, which a thread describes while the loop changes it."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator

import pytest

from fedmsg_relay.chain.link import Link
from fedmsg_relay.chain.links import Links
from fedmsg_relay.chain.state import State
from fedmsg_relay.daemon.describe import describe_links

LOOKS = 20_000


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Threads take turns in the middle of everything."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hurried_threads")
def test_a_link_may_come_and_go_while_it_is_described() -> None:
    link = Link("chained", "tcp://127.0.0.1:9", "tcp://127.0.0.1:9", 1)
    links, ended = Links([link]), threading.Event()

    def come_and_go() -> None:
        for state in itertools.cycle([State.JOINED, State.AWAY]):
            link._state.name = state
            if ended.is_set():
                return

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        seen = {describe_links(links)["using"] for _ in range(LOOKS)}
    finally:
        ended.set()
        thread.join()
    assert seen == {None, link.submit_address}
