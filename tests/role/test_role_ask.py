"""The role's module that answers the questions of a plan."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fedmsg_relay_host.command import CommandError, Ran
from fedmsg_relay_host.names import answering, own_names
from fedmsg_relay_host.relay import Relay

from fedmsg_relay.journal.store import Journal
from journaled import entries
from role_modules import run_by_ansible

PROGRAM = str(Path(sys.executable).with_name("fedmsg-relay"))


def execute(command: list[str]) -> Ran:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def listener() -> Iterator[int]:
    """A port of this machine where somebody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_a_host_knows_its_own_names() -> None:
    names = [socket.gethostname(), "127.0.0.1", "::1", "192.0.2.1", "-", "no.such.name.invalid"]
    assert own_names(names) == names[:3]
    assert own_names([]) == []


def test_only_peers_that_accept_a_connection_count(listener: int) -> None:
    assert answering(["127.0.0.1", "::1"], listener) == ["127.0.0.1"]
    assert answering([], listener) == []


def test_waiting_messages_are_counted_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    relay = Relay(str(tmp_path), execute)
    relay.program = PROGRAM
    assert relay.unsent(str(path)) == 0, "there is no journal"
    with closing(Journal(path)) as journal:
        journal.append(entries(3))
        journal.mark_published(1)
    assert relay.unsent(str(path)) == 2
    path.write_bytes(b"x" * 5000)
    with pytest.raises(CommandError, match=r"journal\.db cannot be read: .*not a database"):
        relay.unsent(str(path))


def test_ansible_runs_the_module(tmp_path: Path, listener: int) -> None:
    options = {
        "home": "/nothing",
        "journal": str(tmp_path / "x"),
        "peers": ["127.0.0.1"],
        "port": listener,
        "waiting": True,
    }
    told = run_by_ansible("fedmsg_relay_ask", options, "--check")
    assert "localhost | SUCCESS" in told
    assert "- 127.0.0.1" in told
    assert "waiting: 0" in told
