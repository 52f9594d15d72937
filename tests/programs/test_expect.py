"""fedmsg-relay expect: the listeners that a relay waits for at its first start."""

from __future__ import annotations

import pytest

from bus import Bus
from fedmsg_relay.errors import EX_CONFIG, EX_USAGE


def test_the_next_start_waits_for_the_listeners_that_were_noted(bus: Bus) -> None:
    assert bus.relay.stop() == 0
    noted = bus.host.run("fedmsg-relay", "expect", "192.0.2.1:50001", "[::ffff:192.0.2.2]:50002", "2001:db8::3")
    assert (noted.code, noted.stdout, noted.stderr) == (0, "", "")
    bus.relay.start()
    line = bus.relay.wait_for_log("not all previous listeners are back (")
    assert all(f"{address}" in line for address in ("192.0.2.1", "192.0.2.2", "2001:db8::3")), line
    assert "ffff" not in line


def test_a_running_relay_notes_its_listeners_itself(bus: Bus) -> None:
    refused = bus.host.run("fedmsg-relay", "expect", "192.0.2.1:50001")
    assert refused.code == EX_CONFIG
    assert "another relay works there" in refused.one_error_line()


@pytest.mark.parametrize("listener", ["host.example.org", "192.0.2.1.5:1", ""])
def test_another_text_is_not_a_listener(bus: Bus, listener: str) -> None:
    assert bus.host.run("fedmsg-relay", "expect", listener).code == EX_USAGE
