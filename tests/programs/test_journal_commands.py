"""fedmsg-relay journal: the journal as operators and scripts see it, while the relay runs and after it."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time
from datetime import UTC, datetime

import pytest

from bus import Bus
from fedmsg_relay.errors import EX_IOERR, EX_UNAVAILABLE, EX_USAGE
from harness import Host, wait_until
from journal_commands import journal, last, lines_of_json, rows, send
from messages import Message, compare, numbered

ODD: Message = (b"org.example.odd", ' {"b": 1.10,  "a":"\\u00e9 é 😀", "a": "\x7f" } '.encode())
"""No envelope, and nothing that another encoder would write the same."""


def test_ls_shows_a_line_for_each_message(shared_bus: Bus) -> None:
    before = last(shared_bus)
    send(shared_bus, *numbered(2), ODD)
    ran = journal(shared_bus.host, "ls", "--after", str(before))
    assert (ran.code, ran.stderr) == (0, "")
    expected = []
    for seq, stamp, msg_id, topic, body in rows(shared_bus.host, before):
        when = datetime.fromtimestamp(stamp // 10**6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        expected.append(f"{seq} {when} {topic.decode()} {len(body)} {msg_id or '-'}")
    assert len(expected) == 3
    assert ran.stdout.splitlines() == expected


def test_ls_as_json(shared_bus: Bus) -> None:
    before = last(shared_bus)
    (message,) = numbered(1)
    started = time.time()
    send(shared_bus, message, ODD)
    first, second = lines_of_json(journal(shared_bus.host, "ls", "--json", "--after", str(before)))
    assert started - 1 < first.pop("time") <= second.pop("time") < time.time() + 1
    topic = message[0].decode()
    msg_id = json.loads(message[1])["msg_id"]
    assert first == {"seq": before + 1, "msg_id": msg_id, "topic": topic, "bytes": len(message[1])}
    assert second == {"seq": before + 2, "msg_id": None, "topic": "org.example.odd", "bytes": len(ODD[1])}


def test_text_from_a_peer_does_not_steer_the_terminal(shared_bus: Bus) -> None:
    before = last(shared_bus)
    send(shared_bus, (b"org.\x1b[2J\n", b'{"msg_id": "2026-\\u001b[2J"}'))
    for command in (["ls", "--after", str(before)], ["tail", "-n", "1"]):
        (line,) = journal(shared_bus.host, *command).stdout.splitlines()
        assert r"org.\x1b[2J\n" in line
        assert line.endswith(r"2026-\x1b[2J")
        assert line.isprintable()


@pytest.mark.parametrize("by", ["seq", "msg_id"])
def test_show_prints_one_body_byte_for_byte(shared_bus: Bus, by: str) -> None:
    before = last(shared_bus)
    body = b' {"msg_id" :"2026-shown", "n": 1.10, "n": "\\u00e9' + "é😀".encode() + b'"} '
    send(shared_bus, *numbered(1), (b"org.example.odd", body))
    ran = journal(shared_bus.host, "show", str(before + 2) if by == "seq" else "2026-shown")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.encode() == body + b"\n"


def test_show_as_json_is_a_line_of_export(shared_bus: Bus) -> None:
    send(shared_bus, ODD)
    seq = last(shared_bus)
    shown = lines_of_json(journal(shared_bus.host, "show", str(seq), "--json"))
    assert shown == lines_of_json(journal(shared_bus.host, "export", "--after", str(seq - 1)))
    assert (shown[0]["seq"], shown[0]["body"].encode()) == (seq, ODD[1])


@pytest.mark.parametrize("name", ["0", "999999999", "9" * 40, "2026-nothing", "-1", "²"])
def test_show_of_what_is_not_there_says_so(shared_bus: Bus, name: str) -> None:
    ran = journal(shared_bus.host, "show", "--", name)
    assert (ran.code, ran.stdout) == (EX_USAGE, "")
    assert name in ran.one_error_line()


def test_tail_shows_the_newest_as_ls_does(shared_bus: Bus) -> None:
    before = last(shared_bus)
    send(shared_bus, *numbered(15))
    for options in ([], ["--json"]):
        listed = journal(shared_bus.host, "ls", *options, "--after", str(before)).stdout.splitlines()
        assert len(listed) == 15
        assert journal(shared_bus.host, "tail", *options).stdout.splitlines() == listed[-10:]
        assert journal(shared_bus.host, "tail", "-n", "3", *options).stdout.splitlines() == listed[-3:]
    assert journal(shared_bus.host, "tail", "-n", "0").stdout == ""


def test_tail_follow_goes_on_with_what_comes(shared_bus: Bus) -> None:
    before = last(shared_bus)
    send(shared_bus, *numbered(1))
    tail = shared_bus.host.start("fedmsg-relay", "journal", "tail", "-n", "1", "--follow", "--json")

    def seen() -> list[int]:
        return [json.loads(line)["seq"] for line in tail.stdout().splitlines(keepends=True) if line.endswith("\n")]

    wait_until(lambda: seen() == [before + 1], "what is there")
    send(shared_bus, *numbered(500, start=1))
    wait_until(lambda: len(seen()) >= 501, "what comes")
    assert seen() == list(range(before + 1, before + 502))
    assert tail.stop(signal.SIGINT) == 130
    assert tail.stderr() == ""


def test_export_has_the_exact_text_of_every_message(shared_bus: Bus) -> None:
    before = last(shared_bus)
    send(shared_bus, *numbered(450), ODD)
    exported = lines_of_json(journal(shared_bus.host, "export", "--after", str(before)))
    compare(
        [(e["seq"], round(e["time"] * 1e6), e["msg_id"], e["topic"].encode(), e["body"].encode()) for e in exported],
        rows(shared_bus.host, before),
    )
    compare([(e["topic"].encode(), e["body"].encode()) for e in exported], [*numbered(450), ODD])


@pytest.mark.parametrize("command", ["ls", "export"])
def test_a_range_is_chosen_by_number_time_and_limit(shared_bus: Bus, command: str) -> None:
    before = last(shared_bus)
    for message in numbered(5):
        send(shared_bus, message)  # one by one, so that each has a time of its own
    found = rows(shared_bus.host, before)
    middle = (found[2][1] + found[3][1]) / 2e6

    def chosen(*options: str) -> list[int]:
        form = ["--json"] if command == "ls" else []
        return [line["seq"] - before for line in lines_of_json(journal(shared_bus.host, command, *form, *options))]

    assert chosen("--after", str(before + 2)) == [3, 4, 5]
    assert chosen("--after", str(before), "--limit", "2") == [1, 2]
    assert chosen("--after", str(before), "--limit", "0") == []
    assert chosen("--after", str(before + 5)) == []
    assert chosen("--since", f"{middle:.6f}") == [4, 5]
    assert chosen("--since", f"{middle:.6f}", "--limit", "1") == [4]
    assert chosen("--since", f"{middle:.6f}", "--after", str(before + 4)) == [5]
    with_zone = datetime.fromtimestamp(middle, UTC)
    assert chosen("--since", with_zone.isoformat()) == [4, 5]
    assert chosen("--since", with_zone.replace(tzinfo=None).isoformat()) == [4, 5], "local time, which is UTC here"
    assert chosen("--since", "2999-01-01") == []


@pytest.mark.parametrize(
    "options",
    [
        *(["ls", "--since", time] for time in ("yesterday", "nan", "inf", "1e300", "-1")),
        *(["ls", "--after", number] for number in ("x", "-1", "9" * 30)),
        *(["ls", "--limit", "x"], ["tail", "-n", "9" * 30], ["quarantine", "-n", "9" * 30]),
        *([], ["no-such"], ["show"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line(shared_bus: Bus, options: list[str]) -> None:
    ran = journal(shared_bus.host, *options)
    assert (ran.code, ran.stdout) == (EX_USAGE, "")
    assert "--help" in ran.one_error_line()


def test_quarantine_says_what_why_and_from_where(bus: Bus) -> None:
    bus.publisher.send(b"org.example.bad", b"not \x1b[2J json")
    bus.publisher.send(b"org.\xff", b"{}")
    bus.publisher.send(b"alone")
    send(bus, *numbered(1))
    ran = journal(bus.host, "quarantine")
    assert (ran.code, ran.stderr) == (0, "")
    first, second, third = ran.stdout.splitlines()
    assert first.split(" ", 1)[1] == r"body-not-json 127.0.0.1 28 org.example.bad not \x1b[2J json"
    assert second.split(" ", 1)[1] == r"topic-not-utf8 127.0.0.1 7 org.\xff {}"
    assert third.split()[1:3] == ["frame-count", "127.0.0.1"]
    assert datetime.fromisoformat(first.split()[0]).timestamp() == pytest.approx(time.time(), abs=60)
    as_json = lines_of_json(journal(bus.host, "quarantine", "--json", "-n", "2"))
    assert [line["reason"] for line in as_json] == ["topic-not-utf8", "frame-count"]
    as_json[0].pop("time")
    facts = {"reason": "topic-not-utf8", "source": "127.0.0.1", "size": 7}
    assert as_json[0] == {**facts, "topic": r"org.\xff", "body": "{}"}


def test_quarantine_of_nothing_is_nothing(bus: Bus) -> None:
    ran = journal(bus.host, "quarantine")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")


# No journal.

COMMANDS = [["ls"], ["show", "1"], ["tail"], ["tail", "--follow"], ["export"], ["quarantine"], ["check"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_where_no_journal_is_every_command_says_so_in_one_line(host: Host, command: list[str]) -> None:
    ran = journal(host, *command)
    assert (ran.code, ran.stdout) == (EX_UNAVAILABLE, "")
    assert str(host.journal_file) in ran.one_error_line()
    assert not host.journal_file.exists(), "looking into it does not make it"


@pytest.mark.parametrize("command", COMMANDS[:3] + COMMANDS[4:], ids=" ".join)
def test_a_file_that_is_not_a_journal_is_reported_in_one_line(host: Host, command: list[str]) -> None:
    other = host.write("other.db", "this is no database" * 100)
    ran = journal(host, *command, "--journal", other)
    assert ran.code == (2 if command == ["check"] else EX_UNAVAILABLE)
    assert len((ran.stdout + ran.stderr).splitlines()) == 1
    assert "not a database" in ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["x.db?mode=rwc&a=", "x.db?", "x#.db", "100%25.db"])
def test_a_journal_may_have_any_name_and_is_not_made(shared_bus: Bus, host: Host, name: str) -> None:
    before = sorted(host.directory.iterdir())
    ran = journal(host, "ls", "--journal", name)
    assert (ran.code, ran.stdout) == (EX_UNAVAILABLE, "")
    assert sorted(host.directory.iterdir()) == before
    copy = host.directory / name
    with contextlib.closing(sqlite3.connect(shared_bus.host.journal_file)) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    ran = journal(host, "check", "--journal", name)
    assert (ran.code, ran.stderr) == (0, "")


def test_another_journal_than_this_hosts(shared_bus: Bus, host: Host) -> None:
    send(shared_bus, ODD)
    seq = last(shared_bus)
    ran = journal(host, "show", str(seq), "--journal", shared_bus.host.journal_file)
    assert ran.stdout.encode() == ODD[1] + b"\n"


def test_a_reader_that_leaves_early_causes_no_traceback(shared_bus: Bus) -> None:
    send(shared_bus, *numbered(300))
    for command in ("ls", "export", "tail -n 300"):
        ran = shared_bus.host.run("/bin/sh", "-c", f"fedmsg-relay journal {command} | head -n 1")
        assert (ran.stderr, len(ran.stdout.splitlines())) == ("", 1)


@pytest.mark.parametrize("command", ["ls", "export", "show 1", "tail", "quarantine", "check"])
@pytest.mark.parametrize("redirection", ["> /dev/full", "1< /dev/null"])
def test_a_stdout_that_takes_nothing_ends_with_74_and_one_line(shared_bus: Bus, command: str, redirection: str) -> None:
    shared_bus.publisher.send(b"org.example", b"no JSON")  # for the quarantine
    send(shared_bus, *numbered(300), (b"org.example.large", b'"' + b"x" * 100_000 + b'"'))
    ran = shared_bus.host.run("/bin/sh", "-c", f"exec fedmsg-relay journal {command} {redirection}")
    assert ran.code == EX_IOERR
    assert "cannot write to stdout" in ran.one_error_line()
