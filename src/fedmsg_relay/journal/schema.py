"""The journal's file: its format, and how it is made, opened, converted from format 1 and told from other files.

Format (version 2): one SQLite database in WAL mode, ``journal.db``, which any ``sqlite3`` can open. Its pages have
16 KiB, as long bodies then take a third less CPU time; the size of a page is not a part of the format.

- ``message``: ``seq`` (1, 2, 3, ... without gaps, but see :mod:`fedmsg_relay.journal.store` for retention and
  recovery), ``time`` (Unix microseconds when it was journaled), ``msg_id`` (of the envelope, or NULL), ``topic`` and
  ``body`` (the two frames, byte for byte), ``crc`` (of the whole row, see :func:`.records.checksum`; a value below 2^32
  is from format 1, and the CRC-32 of topic, then body, alone).
- ``state``: one row: ``format``, ``published``, the last ``seq`` that was sent to outbound, and ``listeners``, the
  checksum of the addresses in ``listener``. ``crc`` is the check of the row (:mod:`fedmsg_relay.journal.position`).
- ``batch``: one row, written in each transaction that adds messages: ``published`` as it was then, ``last``, the last
  ``seq``, and ``crc``.
- ``listener``: the listeners that were connected last, one row for each connection: its IP address, and our port.
- ``name``: ``seq``, ``msg_id`` and a digest of topic and body of each message of the dedup window that retention has
  removed: a retry of such a message is known by it.
- ``quarantine``: messages that were not well-formed or were refused: ``time``, ``reason``, ``source`` (IP address),
  ``topic`` and ``body`` (cut at ``FRAME_BYTES``), ``size`` (before the cut). Its bounds:
  :mod:`fedmsg_relay.journal.quarantine`.

Format 1 had no ``batch`` and no ``name``, and in ``state`` only ``format`` and ``published``. It is read, and converted
when it is opened for writing: the messages stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from fedmsg_relay.errors import ConfigError
from fedmsg_relay.journal import position
from fedmsg_relay.journal.position import UntrustedError
from fedmsg_relay.journal.records import lenient_text

LOCK_SECONDS = 1.0
"""Maximum time that another program that locks the journal against writing may hold up the pipeline."""

_PRAGMAS = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
"""

_NAMES = "CREATE TABLE name (seq INTEGER PRIMARY KEY, msg_id TEXT NOT NULL, digest BLOB NOT NULL);"

_SCHEMA = f"""
CREATE TABLE message (
    seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, msg_id TEXT, topic BLOB NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, topic BLOB NOT NULL,
    body BLOB NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE listener (address TEXT NOT NULL);
{_NAMES}
{position.TABLES}
"""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open a journal; make it where there is none, convert it where it has format 1.

    Args:
        path: of ``journal.db``.

    Raises:
        UntrustedError: it holds what was never written.
        ConfigError: a newer version wrote it.
        sqlite3.Error: it cannot be opened, or not written.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_SECONDS)
    db.text_factory = lenient_text
    try:
        db.execute("PRAGMA cell_size_check = ON")
        if db.execute("PRAGMA page_count").fetchone()[0] < 2 and not _columns(db):
            _make(db)
            path.chmod(0o640)
        _refuse_newer(path, db)
        if _columns(db) == ["format", "published"]:
            _convert(db)
        # Look at both ends, so that a file which is not a journal any more is found now and not in the pipeline.
        for end in ("ASC", "DESC"):
            db.execute(f"SELECT seq, time, crc FROM message ORDER BY seq {end} LIMIT 1").fetchone()  # noqa: S608
        # SQLite opens a read-only file without an error, and would keep it so when the disk is writable again.
        db.execute("BEGIN")
        db.execute("UPDATE state SET format = format")
        db.execute("ROLLBACK")
    except BaseException:
        db.close()
        raise
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a journal without writing to it; a relay may write it meanwhile.

    Args:
        path: of ``journal.db``.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    # SQLite reads a WAL by a file that it makes beside it. Where this user cannot make one and there is no WAL, no
    # relay is writing.
    still = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    mode = "mode=ro&immutable=1" if still else "mode=ro"
    db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?{mode}", uri=True)
    db.text_factory = lenient_text
    return db


def refuse_newer(path: Path) -> None:
    """Refuse a journal that a newer version wrote, without touching it; any other is not looked at.

    Args:
        path: of ``journal.db``; it need not exist.

    Raises:
        ConfigError: its format is newer than this version reads.
    """
    with contextlib.suppress(sqlite3.Error, OSError, UnicodeError):
        if path.exists():
            with contextlib.closing(open_for_reading(path)) as db:
                _refuse_newer(path, db)


def refuse_newer_format(db: sqlite3.Connection) -> None:
    """Refuse a journal whose format is not among those that this version reads.

    Args:
        db: a journal.

    Raises:
        UntrustedError: its format is newer than this version reads.
    """
    for (found,) in db.execute("SELECT format FROM state").fetchall():
        if isinstance(found, int) and found > position.FORMAT:
            raise UntrustedError(f"its format {found} is newer than this version reads ({position.FORMAT})")


def _refuse_newer(path: Path, db: sqlite3.Connection) -> None:
    try:
        refuse_newer_format(db)
    except UntrustedError as error:
        raise ConfigError(f"journal {path}: {error}: run the version that wrote it, or move the file away") from error


def find_position(db: sqlite3.Connection) -> position.Position:
    """Find the position of a journal of any known format, without writing to it.

    Args:
        db: a journal.

    Raises:
        UntrustedError: its notes are damaged.
        sqlite3.Error: it cannot be read.
    """
    if _columns(db) == ["format", "published"]:
        return _find_in_format_1(db)
    return position.find(db)


def _columns(db: sqlite3.Connection) -> list[str]:
    """Names of the columns of the table ``state``; none where there is no such table."""
    return [str(row[1]) for row in db.execute("PRAGMA table_info(state)")]


def _make(db: sqlite3.Connection) -> None:
    db.executescript(_PRAGMAS + "BEGIN;" + _SCHEMA)
    position.begin(db, 0, 0, position.seal_listeners([]))
    db.execute("COMMIT")


def _find_in_format_1(db: sqlite3.Connection) -> position.Position:
    """Find the position in its only note, which has no check: a value that is impossible is not trusted."""
    rows = db.execute("SELECT format, published FROM state").fetchall()
    oldest, newest = position.ends(db)
    if not rows and newest is None:
        rows = [(1, 0)]  # a start was killed when it had just made the tables
    for form, published in rows:
        if form == 1 and isinstance(published, int) and (oldest or 1) - 1 <= published <= (newest or published):
            listeners = [str(address) for (address,) in db.execute("SELECT address FROM listener")]
            return position.Position(published, newest or published, position.seal_listeners(listeners), ())
    raise UntrustedError("its note of what is published is damaged")


def _convert(db: sqlite3.Connection) -> None:
    """Make format 2 of format 1. Messages stay as they are: there may be millions."""
    published, last, listeners, _ = _find_in_format_1(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("DROP TABLE state")
        for statement in (_NAMES, *filter(str.strip, position.TABLES.split(";"))):
            db.execute(statement)
        position.begin(db, published, last, listeners or 0)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
