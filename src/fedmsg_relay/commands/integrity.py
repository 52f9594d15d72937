"""``fedmsg-relay journal check``: reads all of a journal, and says what of it is damaged."""

from __future__ import annotations

import argparse
import json
import sqlite3

from fedmsg_relay.commands.arguments import CRITICAL, OK
from fedmsg_relay.journal import broken, position, schema
from fedmsg_relay.journal.records import read_records


def check(db: sqlite3.Connection, options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        db: the journal.
        options: ``json``.

    Returns:
        Its exit code, that of a Nagios plugin.
    """
    faults, count = [], 0
    try:
        faults = [str(row[0]) for row in db.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
        if not faults:
            last = _check_notes(db, faults)
            count = _check_messages(db, last, faults)
    except sqlite3.Error as error:
        if not broken.is_broken(error):  # not there, or locked: nothing is known about it
            raise
        faults.append(str(error))
    except (ValueError, TypeError, OverflowError) as error:
        faults.append(f"it holds data that no relay has written: {error}")
    summary = f"{'CRITICAL' if faults else 'OK'} - {count} messages" + "".join(f"; {fault}" for fault in faults[:10])
    print(json.dumps({"ok": not faults, "messages": count, "faults": faults}) if options.json else summary)
    return CRITICAL if faults else OK


def _check_notes(db: sqlite3.Connection, faults: list[str]) -> int:
    """Check what the journal notes about itself; return the ``seq`` of its last message."""
    schema.refuse_newer_format(db)
    found = schema.find_position(db)
    faults += found.faults
    listeners = [str(address) for (address,) in db.execute("SELECT address FROM listener")]
    if found.listeners not in {None, position.seal_listeners(listeners)}:
        faults.append("the note of who listened is damaged")
    return found.last


def _check_messages(db: sqlite3.Connection, last: int, faults: list[str]) -> int:
    """Check every message; return how many there are."""
    count = 0
    previous = None
    for record in read_records(db, "ORDER BY seq"):
        count += 1
        if previous is not None and record.seq > previous + 1:
            faults.append(f"messages {previous + 1} to {record.seq - 1} are missing")
        if not record.intact:
            faults.append(f"message seq {record.seq} is damaged: its checksum is wrong")
        if record.seq > last:
            faults.append(f"message seq {record.seq} is beyond the end, {last}")
        previous = record.seq
    if previous is not None and previous < last:
        faults.append(f"messages {previous + 1} to {last} are missing")
    return count
