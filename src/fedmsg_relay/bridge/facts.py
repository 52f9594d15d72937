"""The facts that a reader finds in ``bridge.db``, whether the bridge runs or not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from fedmsg_relay.bridge.ledger import NAME, Aside, LedgerError, counters
from fedmsg_relay.journal import schema


class Facts(NamedTuple):
    """What a reader finds in the ledger.

    Attributes:
        counters: all numbers by name.
        aside: the newest message that was set aside, and the number by reason.
        retry: number of those that are to be sent again.
        missing: messages that did not arrive at the tap: first and last number, and topic of the first.
        told: what the bridge said of itself last, and when.
    """

    counters: dict[str, int]
    aside: Aside | None
    reasons: dict[str, int]
    retry: int
    missing: list[tuple[int, int, str]]
    told: dict[str, Any]
    told_at: float


def read(directory: Path) -> Facts | None:
    """Read a ledger without writing to it.

    Args:
        directory: of the journal.

    Returns:
        What it says; None where there is none.

    Raises:
        LedgerError: it cannot be read.
    """
    path = directory / NAME
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    try:
        with closing(schema.open_for_reading(path)) as db:
            newest = db.execute("SELECT * FROM aside ORDER BY seq DESC LIMIT 1").fetchone()
            reasons = db.execute("SELECT reason, count(*) FROM aside GROUP BY reason").fetchall()
            (retry,) = db.execute("SELECT count(*) FROM retry").fetchone()
            missing = db.execute("SELECT first, last, topic FROM missing ORDER BY first LIMIT 100").fetchall()
            told = db.execute("SELECT time, text FROM told").fetchone()
            found = counters(db, "")
        text = json.loads(told[1]) if told else {}
        aside = Aside(*newest) if newest else None
        return Facts(found, aside, dict(reasons), retry, missing, text, told[0] if told else 0.0)
    except (sqlite3.Error, ValueError) as error:
        raise LedgerError(f"{path}: {error}") from error
