"""The state directory has one relay: two would write one journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bus import Bus
from harness import Host, Process
from messages import numbered
from relays import Relay
from sites import Site, chained
from wire import Submitter, accepted


@pytest.fixture
def other(host: Host) -> Iterator[Relay]:
    """Another relay with ports and a status of its own, and the first one's state directory."""
    with closing(Host()) as elsewhere:
        elsewhere.configure_submit()
        with closing(Relay(elsewhere, env={"STATE_DIRECTORY": str(host.directory / "state")})) as other:
            yield other


def assert_refused(process: Process, state: Path, first: Relay) -> None:
    assert process.wait() in {69, 78}
    (line,) = process.stderr().splitlines()
    assert str(state) in line
    assert f"pid {first.pid}" in line


def test_a_second_relay_refuses_to_start_and_leaves_the_first_alone(
    submit_bus: Bus, submitter: Submitter, other: Relay, last: int
) -> None:
    assert submitter.ask(*numbered(3)) == accepted(last + 1, last + 3)
    assert_refused(other.launch(), submit_bus.host.directory / "state", submit_bus.relay)
    assert submitter.ask(*numbered(3, start=3)) == accepted(last + 4, last + 6)
    submit_bus.listener.expect(numbered(6))
    assert submit_bus.relay.stop() == 0
    other.start()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_second_relay_may_start_once_the_first_has_ended(
    submit_bus: Bus, submitter: Submitter, other: Relay, last: int, end: str
) -> None:
    assert submitter.ask(*numbered(3)) == accepted(last + 1, last + 3)
    getattr(submit_bus.relay, end)()
    other.start()
    client = submit_bus.sockets.submitter(other.host.submit)
    assert client.ask(*numbered(3)) == accepted(last + 1, last + 3, duplicates=3)
    assert_refused(submit_bus.relay.launch(), submit_bus.host.directory / "state", other)


@pytest.mark.parametrize("left", [b"\0" * 20, b"x" * 1000, b"two\nlines"])
def test_an_identity_that_no_relay_can_have_is_made_anew(old: Site, new: Site, left: bytes) -> None:
    """A power failure may leave bytes in a new file that nobody has written."""
    identity = new.host.directory / "state" / "identity"
    identity.write_bytes(left)
    chained(old, new)
    made = identity.read_text()
    assert made.strip().isprintable()
    new.restart()
    assert identity.read_text() == made
