"""``fedmsg-relay tail``: prints every message from a point on, history first and then as they come."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fedmsg_relay.commands.arguments import OK, add_config, add_json, config_files
from fedmsg_relay.commands.journal import moment
from fedmsg_relay.errors import UsageError, printable

if TYPE_CHECKING:
    from fedmsg_relay.tailing import Message


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    text = "print every message as it comes, also across restarts of the relay; asks the web process of the relay"
    command = commands.add_parser("tail", help=text, description=text)
    command.set_defaults(command=_tail)
    begin = command.add_mutually_exclusive_group()
    begin.add_argument("--since", type=moment, metavar="TIME", help="begin at this time: ISO 8601, or Unix seconds")
    begin.add_argument("--after", metavar="SEQ|MSG_ID", help="begin after this message")
    command.add_argument("--topic", default="", metavar="PREFIX", help="only messages whose topic begins with this")
    add_config(command)
    add_json(command)


def _tail(options: argparse.Namespace) -> int:
    from fedmsg_relay.tailing import tail  # noqa: PLC0415 -- the other commands need no HTTP

    since = None if options.since is None else options.since / 1e6
    after = options.after
    if after is not None and after.isdecimal():
        after = int(after)
        if after >= 2**63:
            raise UsageError(f"--after {after}: no message can have this number")
    output = sys.stdout
    with redirect_stdout(sys.stderr):  # config files are read again and again, and may print
        for message in tail(since, after, options.topic, config_files(options)):
            print(_line(message, options.json, output.isatty()), file=output, flush=True)
    return OK


def _line(message: Message, as_json: bool, on_terminal: bool) -> str:
    if as_json:
        facts = {"seq": message.seq, "time": message.time, "msg_id": message.msg_id}
        return json.dumps({**facts, "topic": message.topic, "body": message.text})
    when = datetime.fromtimestamp(message.time, UTC).isoformat(timespec="milliseconds")
    text = printable(message.text) if on_terminal else message.text.replace("\n", " ")
    return f"{message.seq} {when} {printable(message.topic) or '-'} {text}"
