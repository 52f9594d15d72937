"""The reason why no address of a relay can be connected to, for an operator."""

from __future__ import annotations

from fedmsg_relay.chain.dialler import Dialler


def test_an_address_of_an_interface_that_is_not_there_has_a_reason_in_words() -> None:
    dialler = Dialler("tcp://[fe80::1%nosuch]:9942")
    assert dialler.update() is None
    assert dialler.fault
    assert "Unknown error" not in dialler.fault
