"""``fedmsg-relay journal waiting``: counts the messages that a stopped relay has taken and not passed on."""

from __future__ import annotations

import argparse
import json
import sqlite3

from fedmsg_relay.commands.arguments import OK
from fedmsg_relay.journal import schema


def count(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        db: the journal, of any format.
        options: ``json``.

    Returns:
        Its exit code.

    Raises:
        ValueError: the notes of the journal are damaged.
    """
    found = schema.find_position(db)
    facts = {"waiting": found.last - found.published, "published": found.published, "last": found.last}
    print(json.dumps(facts) if options.json else facts["waiting"])
    return OK
