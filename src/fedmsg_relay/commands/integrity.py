"""``fedmsg-relay journal check``: reads all of a journal, and says what of it is damaged."""

from __future__ import annotations

import argparse
import json
import sqlite3

from fedmsg_relay.commands.arguments import CRITICAL, OK, plain
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.journal import block, broken, position, schema


def check(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        db: the journal.
        options: ``journal``, ``json``.

    Returns:
        Its exit code, that of a Nagios plugin.

    Raises:
        JournalError: it has an earlier format.
    """
    faults, count = [], 0
    try:
        faults = [str(row[0]) for row in db.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
        if not faults:
            schema.refuse_newer_of(options.journal, db)
            schema.refuse_earlier(options.journal, db)
            last = _check_notes(db, faults)
            count = _check_messages(db, last, faults)
    except sqlite3.Error as error:
        if not broken.is_broken(error):  # not there, or locked: nothing is known about it
            raise
        faults.append(str(error))
    except ConfigError as error:  # a newer version wrote it
        faults.append(str(error))
    except (ValueError, TypeError, OverflowError) as error:
        faults.append(f"it holds data that no relay has written: {error}")
    word, told = "CRITICAL" if faults else "OK", "".join(f"; {plain(fault)}" for fault in faults[:10])
    summary = f"{word} - {count} messages{told}"
    print(json.dumps({"ok": not faults, "messages": count, "faults": faults}) if options.json else summary)
    return CRITICAL if faults else OK


def _check_notes(db: sqlite3.Connection, faults: list[str]) -> int:
    """Check what the journal notes about itself; return the ``seq`` of its last message."""
    found = schema.find_position(db)
    faults += found.faults
    listeners = [str(address) for (address,) in db.execute("SELECT address FROM listener")]
    if found.listeners not in {None, position.seal_listeners(listeners)}:
        faults.append("the note of the listeners is damaged")
    return found.last


def _check_messages(db: sqlite3.Connection, last: int, faults: list[str]) -> int:
    """Check every block; return how many messages there are."""
    count = 0
    expected = damaged = None
    for found in block.read(db, "ORDER BY first"):
        if damaged is not None:
            faults.append(_damaged(damaged, found.first - 1))
            count += found.first - damaged
        elif expected is not None and found.first > expected:
            faults.append(f"messages {expected} to {found.first - 1} are missing")
        damaged = None if found.intact else found.first
        if damaged is None:
            count += found.messages
            expected = found.last + 1
            if found.last > last:
                faults.append(f"message seq {found.last} is beyond the end, {last}")
    if damaged is not None:
        faults.append(_damaged(damaged, last))
        count += last + 1 - damaged
    elif expected is not None and expected <= last:
        faults.append(f"messages {expected} to {last} are missing")
    return count


def _damaged(first: int, last: int) -> str:
    """Say it of a block: where it ends is known by the next one alone."""
    which = f"message seq {first} is" if first == last else f"messages {first} to {last} are"
    return f"{which} damaged: the checksum is wrong"
