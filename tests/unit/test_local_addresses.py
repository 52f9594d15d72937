"""Which addresses are this host's."""

from __future__ import annotations

import socket

import pytest

from fedmsg_relay.daemon import addresses


@pytest.mark.parametrize(
    ("family", "address", "local"),
    [
        (socket.AF_INET, ("127.0.0.1", 0), True),
        (socket.AF_INET, ("192.0.2.1", 0), False),
        (socket.AF_APPLETALK, ("127.0.0.1", 0), False),  # as IPv6 is to a kernel that is started without it
    ],
)
def test_only_what_can_be_bound_is_this_hosts(family: int, address: tuple[str, int], local: bool) -> None:
    assert addresses._is_local(family, address) is local
