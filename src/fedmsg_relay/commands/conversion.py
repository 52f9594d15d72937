"""``fedmsg-relay journal convert``: makes a journal of an earlier format one of this format."""

from __future__ import annotations

import argparse
import logging
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from fedmsg_relay.commands.arguments import OK
from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal import position, schema
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.runtime import paths
from fedmsg_relay.runtime.log import log


def add_command(actions: Any) -> None:
    """Declare the command.

    Args:
        actions: the subparsers of ``fedmsg-relay journal``.
    """
    text = "convert a journal of an earlier format; the relay does it at its start with its own"
    convert = actions.add_parser("convert", help=text, description=text)
    convert.set_defaults(command=_convert)
    convert.add_argument(
        "--journal", type=Path, metavar="FILE", help="convert this journal.db instead of that of this host's relay"
    )


def _convert(options: argparse.Namespace) -> int:
    path = options.journal or paths.state_of_host() / "journal.db"
    if not _has_earlier_format(path):
        print(f"journal {path}: it has format {position.FORMAT}: nothing to do")
        return OK
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)
    lock = paths.lock(path.parent) if path.name == "journal.db" else None  # a relay works with no other
    try:
        with closing(Journal(path)) as journal:
            print(f"journal {path}: it has format {position.FORMAT} now; last seq {journal.last}")
    finally:
        if lock:
            lock.close()
    return OK


def _has_earlier_format(path: Path) -> bool:
    try:
        with closing(schema.open_for_reading(path)) as db:
            schema.refuse_other(path, db)
        if schema.needs_conversion(path):
            return True
        schema.open_to_look(path).close()
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}") from error
    return False
