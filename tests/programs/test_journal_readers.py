"""Readers of the journal beside the relay: members of its group, and a tail that outlives the file."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from harness import Host, Process, Ran, locate, wait_until
from messages import numbered
from relays import Relay
from wire import Sockets, Submitter, accepted

MEMBER = ["/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Root without the right to read and write everything, as a member of the group root."""

BRIDGE = ("fedmsg-relay", "bridge")

as_root = pytest.mark.usefixtures("root")


def seqs(tail: Process) -> list[int]:
    return [json.loads(line)["seq"] for line in tail.stdout().splitlines(keepends=True) if line.endswith("\n")]


def submitter(sockets: Sockets, host: Host, relay: Relay) -> Submitter:
    host.configure_submit()
    relay.start()
    return sockets.submitter(host.submit)


def not_ours(host: Host) -> Path:
    """The state directory as a member of the group has it: to be read only."""
    state = host.journal_file.parent
    for path in (state, *state.iterdir()):
        os.chown(path, 64321, 0)
    state.chmod(0o750)
    return state


@as_root
def test_a_group_member_reads_the_journal_of_a_running_and_a_stopped_relay(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    assert submitter(sockets, host, relay).ask(*numbered(3)) == accepted(1, 3)
    relay.settled()
    state = not_ours(host)
    probe = host.run(*MEMBER, "/usr/bin/touch", state / "x")
    assert probe.code != 0, "a member may not write there"

    def read(*command: str) -> str:
        ran = host.run(*MEMBER, locate("fedmsg-relay"), "journal", *command)
        assert (ran.code, ran.stderr) == (0, "")
        return ran.stdout

    for end in (lambda: None, relay.kill, lambda: relay.start().stop()):
        end()
        not_ours(host)
        assert [json.loads(line)["seq"] for line in read("tail", "--json").splitlines()] == [1, 2, 3]
        assert read("check") == "OK - 3 messages\n"
    assert not Path(f"{host.journal_file}-wal").exists(), "the last was a relay that had closed it"


@as_root
def test_a_member_of_the_group_follows_it_from_before_the_relay_starts(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    assert submitter(sockets, host, relay).ask(*numbered(3)) == accepted(1, 3)
    relay.stop()
    not_ours(host)
    tail = host.start(*MEMBER, locate("fedmsg-relay"), "journal", "tail", "--follow", "--json")
    wait_until(lambda: seqs(tail) == [1, 2, 3], "what is there")
    relay.start()
    assert sockets.submitter(host.submit).ask(*numbered(2, start=3)) == accepted(4, 5)
    wait_until(lambda: seqs(tail) == [1, 2, 3, 4, 5], "what comes")


def test_a_reader_goes_on_with_the_new_journal_when_one_is_set_aside(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    assert submitter(sockets, host, relay).ask(*numbered(3)) == accepted(1, 3)
    tail = host.start("fedmsg-relay", "journal", "tail", "--follow", "--json")
    wait_until(lambda: seqs(tail) == [1, 2, 3], "what is there")
    relay.stop()
    for path in (host.journal_file, Path(f"{host.journal_file}-wal")):
        with path.open("r+b") as file:
            file.write(os.urandom(4096))
    relay.start()
    relay.wait_for_log(" ERROR ", "was set aside")
    first, last = sockets.submitter(host.submit).ask(*numbered(2, start=3))["seq"]
    wait_until(lambda: len(seqs(tail)) >= 5, "what comes")
    assert seqs(tail) == [1, 2, 3, first, last]
    assert tail.stop(signal.SIGINT) == 130
    assert tail.stderr() == ""


SYSTEM = "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/fedmsg-relay && mount --bind $0 /var/lib/fedmsg-relay"


@as_root
def test_a_group_member_finds_relay_and_bridge_in_the_directory_of_the_system(
    host: Host, relay: Relay, sockets: Sockets
) -> None:
    assert submitter(sockets, host, relay).ask(*numbered(3)) == accepted(1, 3)
    relay.settled()
    host.write("bridge.toml", '[bridge]\nfedora_messaging = ""\namqp_url = ["amqp://127.0.0.1:1"]\n')
    bridge = host.start(*BRIDGE, "--settings", "bridge.toml")
    wait_until((host.journal_file.parent / "bridge.db").exists, "the bridge is there")
    state = not_ours(host)

    def read(*command: str) -> Ran:
        member: list[str | Path] = ["/usr/bin/unshare", "--mount", "sh", "-c", f'{SYSTEM} && exec "$@"', state, *MEMBER]
        return host.run(*member, locate("fedmsg-relay"), *command, env={"STATE_DIRECTORY": ""})

    listed = read("journal", "ls", "--json")
    assert [json.loads(line)["seq"] for line in listed.stdout.splitlines()] == [1, 2, 3], listed
    told = read("bridge", "status")
    assert told.code in {1, 2}, told
    assert " - forward is " in told.stdout
    assert "/var/lib/fedmsg-relay/bridge.db" in read("bridge", "retry").one_error_line(), "that it must not write"
    bridge.stop()
    Path(state, "bridge.db").chmod(0o600)
    refused = read("bridge", "status")
    assert (refused.code, refused.stdout) == (3, "UNKNOWN - /var/lib/fedmsg-relay/bridge.db: Permission denied\n")
