"""A journal of an earlier format, or one that has lost its notes: the commands and the relay handle both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bus import join
from fedmsg_relay.errors import EX_UNAVAILABLE
from fedmsg_relay.journal.store import Journal
from harness import Host
from journaled import edit, entries, make_format_1, make_format_2
from messages import envelope
from relays import Relay
from wire import Sockets, accepted

COMMANDS = [["ls"], ["show", "1"], ["tail"], ["export"], ["quarantine"], ["check"]]


@pytest.mark.parametrize("make", [make_format_1, make_format_2])
def test_a_journal_of_an_earlier_format_is_left_alone_until_converted(
    host: Host, make: Callable[[Path, int], None]
) -> None:
    make(host.journal_file, 50)
    before = host.journal_file.read_bytes()
    for command in COMMANDS:
        ran = host.run("fedmsg-relay", "journal", *command)
        assert ran.code == EX_UNAVAILABLE
        assert "journal convert" in ran.one_error_line()
    ran = host.run("fedmsg-relay", "journal", "waiting")
    assert (ran.code, ran.stdout) == (0, "0\n")
    assert host.journal_file.read_bytes() == before
    ran = host.run("fedmsg-relay", "journal", "convert")
    assert (ran.code, ran.stderr.splitlines()[-1]) == (0, "journal: converted 50 messages to format 3")
    assert host.run("fedmsg-relay", "journal", "check").stdout == "OK - 50 messages\n"
    assert len(host.run("fedmsg-relay", "journal", "ls").stdout.splitlines()) == 50
    assert host.run("fedmsg-relay", "journal", "convert").code == 0


def no_row(path: Path) -> None:
    edit(path, "DELETE FROM state")


def no_rows(path: Path) -> None:
    edit(path, "DELETE FROM state")
    edit(path, "DELETE FROM tail")


def no_table(path: Path) -> None:
    edit(path, "DROP TABLE state")


def wrong_types(path: Path) -> None:
    edit(path, "UPDATE state SET format = 'x', published = x'00'")


def unknown_format(path: Path) -> None:
    edit(path, "UPDATE state SET format = 0")


def newer_format(path: Path) -> None:
    edit(path, "UPDATE state SET format = 99")


@pytest.mark.parametrize("ruin", [no_row, no_rows, no_table, wrong_types, unknown_format, newer_format])
def test_every_command_reports_a_journal_without_its_notes_in_one_line(
    host: Host, ruin: Callable[[Path], None]
) -> None:
    with contextlib.closing(Journal(host.journal_file)) as journal:
        journal.append(entries(3))
    ruin(host.journal_file)
    for command in COMMANDS:
        ran = host.run("fedmsg-relay", "journal", *command)
        assert "Traceback" not in ran.stderr, command
        assert len(ran.stderr.splitlines()) <= 1, command
    assert ran.code == 2, "check finds it"
    assert ran.stdout.startswith("CRITICAL - ")
    ran = host.run("fedmsg-relay", "check-config")
    assert ran.code == (78 if ruin is newer_format else 0)
    assert len(ran.stderr.splitlines()) == (ruin is newer_format)


@pytest.mark.parametrize("ruin", [no_row, no_table, wrong_types, unknown_format])
def test_waiting_messages_come_out_without_the_note_of_published_ones(
    host: Host, relay: Relay, sockets: Sockets, ruin: Callable[[Path], None]
) -> None:
    host.configure_submit()
    relay.start()
    listener = sockets.listener(host.outbound)
    join(sockets.publisher(host.inbound), listener)
    client = sockets.submitter(host.submit)
    sent = [envelope("org.example.test.numbered", n) for n in range(20)]
    _, last = client.ask(*sent[:10])["seq"]
    listener.expect(sent[:10])
    relay.settled()
    relay.stop()
    with contextlib.closing(Journal(host.journal_file)) as journal:  # what waits after a kill
        journal.append([(*message, None) for message in sent[10:]])  # type: ignore[misc]
    ruin(host.journal_file)

    relay.start()
    listener.expect(sent[10:])
    assert relay.settled()["damaged"] == 0
    assert relay.log_lines(" ERROR ", "journal")
    ran = host.run("fedmsg-relay", "status")
    assert (ran.code, ran.stdout[:10]) == (1, "WARNING - ")
    assert host.run("fedmsg-relay", "journal", "check").code == 0, "it is mended, or there is a new one"
    client = sockets.submitter(host.submit)
    assert client.ask(envelope("org.example.test.numbered", 20)) == accepted(last + 11, last + 11)
