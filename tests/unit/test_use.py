"""The use of each address: which connection counts for which address, and since when an address is unused."""

from __future__ import annotations

import time

import pytest

from fedmsg_relay.network.use import UNKNOWN, Use
from harness import wait_until


@pytest.mark.parametrize(
    ("own", "address"),
    [
        ("tcp://10.0.0.5:9941", "tcp://10.0.0.5:9941"),
        ("tcp://10.0.0.6:9941", "tcp://*:9941"),
        ("tcp://[fd00::17]:9951", "tcp://[fd00:0:0::17]:9951"),
        ("tcp://[fd00::18]:9951", "tcp://[::]:9951"),
        ("tcp://10.0.0.5:9961", None),
        ("ipc:///run/x", "ipc:///run/x"),
    ],
)
def test_a_connection_counts_for_the_address_that_says_most_of_it(own: str, address: str | None) -> None:
    addresses = ["tcp://*:9941", "tcp://10.0.0.5:9941", "tcp://[::]:9951", "tcp://[fd00:0:0::17]:9951", "ipc:///run/x"]
    use = Use()
    use.came(7, "10.0.0.9:41234", own)
    assert [one.address for one in use.of(addresses) if one.peers] == ([address] if address else [])


def test_a_peer_gone_before_a_look_may_have_used_any_address() -> None:
    use = Use()
    wait_until(lambda: use.of(["tcp://*:1"])[0].idle_seconds > 0.5, "time passes")
    before = time.monotonic()
    use.came(7, UNKNOWN, UNKNOWN)
    use.went(7)
    idle = [one.idle_seconds for one in use.of(["tcp://*:1", "tcp://*:2"])]
    assert max(idle) <= time.monotonic() - before
