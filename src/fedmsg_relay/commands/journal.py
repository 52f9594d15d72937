"""``fedmsg-relay journal``: reads the journal, for people and scripts. All but ``release`` only read it."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from fedmsg_relay.commands import conversion, integrity, release, waiting
from fedmsg_relay.commands.arguments import CRITICAL, OK, Parser, accepts, add_json
from fedmsg_relay.commands.signed import Opinion, claimed_signer, opinion
from fedmsg_relay.errors import JournalError, RelayError, UsageError, printable, say
from fedmsg_relay.journal import position, reading, schema
from fedmsg_relay.journal.records import Record, Rejected
from fedmsg_relay.runtime import paths

FOLLOW_SECONDS = 0.2
"""Interval at which ``tail --follow`` looks for more."""

DAMAGED_SECONDS = 30.0
"""Time for which ``tail --follow`` waits for another journal when it cannot read this one."""


def add_command(commands: Any) -> None:
    """Declare ``ls``, ``show``, ``tail``, ``export``, ``waiting``, ``quarantine`` and the commands of other modules.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    journal = commands.add_parser(
        "journal", help="look into the journal: ls, show, tail, export, waiting, quarantine, release, check, convert"
    )
    actions = journal.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, run: Callable[[sqlite3.Connection, argparse.Namespace], int], text: str) -> Any:
        command = actions.add_parser(name, help=text, description=text)
        command.set_defaults(command=lambda options: _with_journal(run, options))
        command.add_argument(
            "--journal", type=Path, metavar="FILE", help="read this journal.db instead of that of this host's relay"
        )
        return command

    listing = add("ls", _ls, "list messages: seq, time, topic, bytes, msg_id")
    _add_range(listing)
    add_json(listing)
    show = add("show", _show, "print one message's body, byte for byte; on a terminal with control characters escaped")
    show.add_argument("message", metavar="SEQ|MSG_ID", help="the message")
    add_json(show)
    tail = add("tail", _tail, "list the newest messages")
    tail.add_argument("-n", "--lines", type=sequence, default=10, metavar="N", help="number of messages (default: 10)")
    tail.add_argument("-f", "--follow", action="store_true", help="go on, with each message that comes")
    add_json(tail)
    export = add("export", _export, "print messages as JSON lines: seq, time, msg_id, topic, body (its exact text)")
    _add_range(export)
    unsent = add("waiting", waiting.count, "count the messages that a stopped relay has not passed on")
    unsent.set_defaults(any_format=True)
    add_json(unsent)
    quarantine = add(
        "quarantine", _quarantine, "list messages that were not well-formed or were refused: when, why, from where"
    )
    quarantine.add_argument(
        "-n", "--lines", type=sequence, default=100, metavar="N", help="the newest N messages (default: 100)"
    )
    add_json(quarantine)
    release.add_command(actions)
    check = add("check", integrity.check, "check every page and every message's checksum (Nagios exit codes)")
    check.set_defaults(any_format=True, any_file=True)  # a file that is not a journal is a finding
    add_json(check)
    conversion.add_command(actions)


def _add_range(command: argparse.ArgumentParser) -> None:
    command.add_argument("--after", type=sequence, default=0, metavar="SEQ", help="begin after this message")
    command.add_argument("--since", type=moment, metavar="TIME", help="begin at this time: ISO 8601, or Unix seconds")
    command.add_argument("--limit", type=sequence, default=-1, metavar="N", help="print at most N messages")


@accepts("a time: ISO 8601 such as 2026-11-30T08:00, or Unix seconds")
def moment(text: str) -> int:
    """Take a time from the command line; Unix microseconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = datetime.fromisoformat(text).timestamp()
    if not 0 <= seconds < 1e11:
        raise ValueError
    return int(seconds * 1e6)


@accepts("a number from 0 on")
def sequence(text: str) -> int:
    """Take a ``seq``, or a number of them, from the command line."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError
    return value


def _with_journal(run: Callable[[sqlite3.Connection, argparse.Namespace], int], options: argparse.Namespace) -> int:
    path = options.journal = options.journal or paths.state_of_host() / "journal.db"
    try:
        db = schema.open_for_reading(path)
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}") from error
    try:
        if not getattr(options, "any_file", False):
            schema.refuse_other(path, db)
        if not getattr(options, "any_format", False):
            schema.refuse_earlier(path, db)
        return run(db, options)
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, RelayError | UnicodeEncodeError):
            raise
        raise JournalError(f"journal {path}: holds data that no relay has written: {error}") from error
    finally:
        db.close()


def _files(path: Path) -> list[int | None]:
    """Tell which files the journal and its WAL are at the moment."""
    found: list[int | None] = []
    for file in (path, Path(f"{path}-wal")):
        try:
            found.append(file.stat().st_ino)
        except OSError:
            found.append(None)
    return found


def _selected(db: sqlite3.Connection, options: argparse.Namespace) -> Iterator[Record]:
    """Yield the messages that were asked for, page by page: an open query would keep the WAL growing."""
    since = options.since or 0
    pages = reading.pages(db, options.after, since)
    records = (record for page in pages for record in page)
    yield from records if options.limit < 0 else islice(records, options.limit)


def _ls(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    for record in _selected(db, options):
        _print_line(record, options.json)
    return OK


def _tail(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    newest = reading.read_newest(db, options.lines)
    for record in newest:
        _print_line(record, options.json)
    last = newest[-1].seq if newest else position.ends(db)[1] or 0
    files, read = _files(options.journal), time.monotonic()
    while options.follow:
        sys.stdout.flush()
        time.sleep(FOLLOW_SECONDS)
        now = _files(options.journal)
        try:
            for page in reading.pages(db, last):
                for record in page:
                    _print_line(record, options.json)
                    last = record.seq
            read = time.monotonic()
        except sqlite3.DatabaseError:  # a relay that starts sets it aside
            if time.monotonic() - read > DAMAGED_SECONDS:
                raise
        if now != files:  # it was set aside, or written again; the numbers go on
            with suppress(sqlite3.DatabaseError):  # it is just being begun, or is still the damaged one
                new = schema.open_for_reading(options.journal)
                new.execute("SELECT 1 FROM block LIMIT 1")
                db.close()
                db, files = new, now
    return OK


def _show(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    if options.message.isdecimal() and len(options.message) < 19:
        record = reading.read_message(db, int(options.message))
    else:
        # As the shell gave it, whatever the locale makes of it.
        name = os.fsencode(options.message).decode(errors="replace")
        record = reading.find_named(db, name)
    if record is None:
        raise UsageError(f"the journal has no message {options.message}")
    signed = opinion(record.topic, record.body, options)
    if options.json:
        print(json.dumps({**_describe(record), **(signed._asdict() if signed.signer else {})}))
    elif sys.stdout.isatty():
        print(printable(_text(record.body), keep="\n\t"))
    else:
        sys.stdout.buffer.write(record.body + b"\n")
    _say_who_signed(signed, options)
    return _warn_of_damage(record)


def _say_who_signed(signed: Opinion, options: argparse.Namespace) -> None:
    """Say it on stderr: stdout has the body, byte for byte, and nothing else."""
    if signed.signer is None or options.json:
        return
    sys.stdout.flush()
    say(f"{'signed by' if signed.proven else 'claims'} {signed.signer} ({signed.verdict})")


def _export(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    code = OK
    for record in _selected(db, options):
        print(json.dumps(_describe(record)))
        code = max(code, _warn_of_damage(record))
    return code


def _warn_of_damage(record: Record) -> int:
    if record.intact:
        return OK
    damaged = f"message seq {record.seq} is damaged, or a message that was journaled with it"
    say(f"fedmsg-relay: {damaged}: the checksum is wrong")
    return CRITICAL


def _quarantine(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    newest = "SELECT id FROM quarantine ORDER BY id DESC LIMIT ?"
    query = f"SELECT time, reason, source, topic, body, size FROM quarantine WHERE id IN ({newest}) ORDER BY id"  # noqa: S608
    for stamp, *rest in db.execute(query, (options.lines,)):
        rejected = Rejected(*rest)
        topic = rejected.topic.decode(errors="backslashreplace")
        if options.json:
            body = rejected.body.decode(errors="backslashreplace")
            facts: dict[str, Any] = {"reason": rejected.reason, "source": rejected.source, "size": rejected.size}
            facts |= _signer(rejected.body)
            print(json.dumps({"time": stamp / 1e6, **facts, "topic": topic, "body": body}))
        else:
            start = printable(rejected.body[:60].decode(errors="backslashreplace"))
            reason, source = printable(rejected.reason), printable(rejected.source)
            print(_time(stamp), reason, source, rejected.size, printable(topic) or "-", *_claim(rejected.body), start)
    return OK


def _describe(record: Record) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "time": record.time / 1e6,
        "msg_id": record.msg_id,
        "topic": _text(record.topic),
        "body": _text(record.body),
    }


def _print_line(record: Record, as_json: bool) -> None:
    if as_json:
        facts: dict[str, Any] = {"seq": record.seq, "time": record.time / 1e6, "msg_id": record.msg_id}
        facts |= {"topic": _text(record.topic), "bytes": len(record.body), **_signer(record.body)}
        print(json.dumps(facts))
    else:
        msg_id = "-" if record.msg_id is None else printable(record.msg_id)
        topic = printable(_text(record.topic)) or "-"
        print(record.seq, _time(record.time), topic, len(record.body), msg_id, *_claim(record.body))


def _claim(body: bytes | str) -> list[str]:
    signer = claimed_signer(body)
    return [] if signer is None else ["claims", signer]


def _signer(body: bytes | str) -> dict[str, str]:
    """Get the signer that a message claims, if it claims one."""
    signer = claimed_signer(body)
    return {} if signer is None else {"signer": signer}


def _time(microseconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(microseconds / 1e6))
    except (TypeError, ValueError, OverflowError, OSError):  # of a damaged message
        return "?"


def _text(data: bytes | str) -> str:
    """Decode bytes for a person; damaged ones are shown as far as they can be."""
    return data if isinstance(data, str) else data.decode(errors="backslashreplace")
