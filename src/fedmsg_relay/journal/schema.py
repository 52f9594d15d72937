"""The journal's file: its format, and how it is made, opened, converted from earlier formats and told from other files.

Format (version 3): one SQLite database in WAL mode, ``journal.db``, which any ``sqlite3`` can open. Its pages have
16 KiB; the size of a page is not a part of the format.

- ``block``: a row is up to 50 messages (:data:`.block.MESSAGES`) that were journaled together, of at most 64 KiB
  (:data:`.block.BYTES`), or one larger message. ``first``: ``seq`` of the first one; the others follow without gaps.
  ``messages``: their number. ``time``: Unix microseconds when they were journaled. ``crc``: CRC-32 of the text
  ``first messages time topic_ends body_ends msg_ids``, then ``topics``, then ``bodies``. ``topics`` and ``bodies``: the
  first, and the second frame of each message, byte for byte and joined. ``topic_ends`` and ``body_ends``: where each
  frame ends in there, and ``msg_ids``: the ``msg_id`` of each envelope, or null; all three as JSON arrays. What is
  long stands last, so SQLite does not read it to find a time or a ``msg_id``.
- ``number``: each ``seq``, and some that are yet to come; for the view (:mod:`.numbers`).
- ``message``: a view, for people and other programs: ``seq``, ``time``, ``msg_id``, ``topic`` and ``body`` of each
  message. By ``seq`` it finds a message at once, and goes through them in either direction. It checks no checksum.
- ``state``: one row: ``format``, ``published``, the last ``seq`` that was sent to outbound, and ``listeners``, the
  checksum of the addresses in ``listener``. ``crc`` is the check of the row (:mod:`.position`).
- ``tail``: one row, written in each transaction that adds messages: ``published`` as it was then, ``last``, the last
  ``seq``, and ``crc``.
- ``listener``: the listeners that were connected last, one row for each connection: its IP address, and our port.
- ``name``: ``seq``, ``msg_id`` and a digest of topic and body of each message of the dedup window that retention has
  removed: a retry of such a message is known by it.
- ``publish_time``: once a second, up to which ``seq`` messages were published by then (:mod:`.publish_times`). Versions
  without this table read and write the journal as well: it is not a part of the format.
- ``quarantine``: messages that were not well-formed or were refused: ``time``, ``reason``, ``source`` (IP address),
  ``topic`` and ``body`` (cut at ``FRAME_BYTES``), ``size`` (before the cut). Its bounds: :mod:`.quarantine`.

Invariants of the rows:

1. Blocks are in the order of ``seq`` and never overlap. A gap between two is damage, or numbers that were left out when
   a journal was begun anew (:mod:`.store`).
2. A block is written once, and removed as a whole. Nothing in it changes.
3. Each ``seq`` of a block is in ``number``.

Damage:

- A block whose ``crc`` is wrong counts as damaged with all its messages: a flipped bit costs up to 50.
- A table that SQLite cannot read, or blocks that break the first invariant, make the file a broken one
  (:mod:`.salvage`).
- A wrong ``number`` costs nothing but lines of the view.

Nothing but ``first`` has an index, as an index would cost the pipeline. Times grow with ``seq``, so a moment is found
by bisection. A ``msg_id`` is looked for in the column ``msg_ids`` of each block; the dedup window (the newest 50,000
messages, read at the start) and the web process hold the newest ones in memory.

Formats 1 and 2 had a row for each message (:mod:`.earlier`). They are converted when they are opened for writing, in
steps that a kill does not undo: the messages that are left stand in a table ``earlier``.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

from fedmsg_relay.errors import ConfigError, JournalError
from fedmsg_relay.journal import earlier, position, publish_times
from fedmsg_relay.journal.records import lenient_text
from fedmsg_relay.journal.transaction import transaction

LOCK_SECONDS = 1.0
"""Maximum time that another program that locks the journal against writing may hold up the pipeline."""

_PRAGMAS = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
"""

_END = "json_extract(b.{0}_ends, '$[' || (n.seq - b.first) || ']')"
_START = "iif(n.seq = b.first, 0, json_extract(b.{0}_ends, '$[' || (n.seq - b.first - 1) || ']'))"
_FRAME = f"coalesce(substr(b.{{1}}, {_START} + 1, {_END} - {_START}), x'')"

STATEMENTS = (
    """CREATE TABLE block (
    first INTEGER PRIMARY KEY, messages INTEGER NOT NULL, time INTEGER NOT NULL, crc INTEGER NOT NULL,
    topic_ends TEXT NOT NULL, body_ends TEXT NOT NULL, msg_ids TEXT NOT NULL, topics BLOB NOT NULL, bodies BLOB NOT NULL
)""",
    "CREATE TABLE number (seq INTEGER PRIMARY KEY)",
    f"""CREATE VIEW message AS SELECT n.seq AS seq,
    b.time AS time, json_extract(b.msg_ids, '$[' || (n.seq - b.first) || ']') AS msg_id,
    {_FRAME.format("topic", "topics")} AS topic, {_FRAME.format("body", "bodies")} AS body
FROM number n CROSS JOIN block b
WHERE b.first = (SELECT max(first) FROM block WHERE first <= n.seq) AND n.seq < b.first + b.messages""",  # noqa: S608
    """CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, topic BLOB NOT NULL,
    body BLOB NOT NULL, size INTEGER NOT NULL
)""",
    "CREATE TABLE IF NOT EXISTS listener (address TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS name (seq INTEGER PRIMARY KEY, msg_id TEXT NOT NULL, digest BLOB NOT NULL)",
    publish_times.TABLE,
    *position.TABLES,
)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open a journal; make it where there is none, convert it where it has an earlier format.

    Args:
        path: of ``journal.db``.

    Raises:
        position.UntrustedError: it holds what was never written.
        ConfigError: a newer version wrote it.
        sqlite3.Error: it cannot be opened, or not written.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_SECONDS)
    db.text_factory = lenient_text
    try:
        db.execute("PRAGMA cell_size_check = ON")
        if db.execute("PRAGMA page_count").fetchone()[0] < 2 and not _is_made(db):
            _make(db)
            path.chmod(0o640)
        refuse_newer_of(path, db)
        if earlier.form(db) or earlier.is_half_converted(db):
            earlier.convert(db, STATEMENTS)
        # Look at both ends, so that a file which is not a journal any more is found now and not in the pipeline.
        for end in ("ASC", "DESC"):
            db.execute(f"SELECT first, time, crc FROM block ORDER BY first {end} LIMIT 1").fetchone()  # noqa: S608
        # SQLite opens a read-only file without an error, and would keep it so when the disk is writable again.
        db.execute("BEGIN")
        db.execute("UPDATE state SET format = format")
        db.execute("ROLLBACK")
    except BaseException:
        db.close()
        raise
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a journal of any format without writing to it; a relay may write it meanwhile.

    Args:
        path: of ``journal.db``.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(path.stat().st_mode):  # SQLite would wait for its other end
            raise sqlite3.OperationalError("not a regular file")
    # SQLite reads a WAL by a file that it makes beside it. Where this user cannot make one and there is no WAL, no
    # relay is writing.
    still = not os.access(path.parent, os.W_OK) and not os.access(f"{path}-wal", os.F_OK)
    mode = "mode=ro&immutable=1" if still else "mode=ro"
    try:
        db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?{mode}", uri=True)
    except sqlite3.OperationalError as error:
        try:
            path.open("rb").close()
        except OSError as reason:  # SQLite does not tell it
            raise sqlite3.OperationalError(reason.strerror) from error
        raise
    db.text_factory = lenient_text
    return db


def open_to_look(path: Path) -> sqlite3.Connection:
    """Do the same for a journal of this format.

    Args:
        path: of ``journal.db``.

    Raises:
        JournalError: it has an earlier format.
        sqlite3.Error: it cannot be opened.
    """
    db = open_for_reading(path)
    try:
        refuse_earlier(path, db)
    except BaseException:
        db.close()
        raise
    return db


def needs_conversion(path: Path) -> bool:
    """Tell whether a journal has an earlier format; False also where it cannot be read.

    Args:
        path: of ``journal.db``; it need not exist.
    """
    with contextlib.suppress(sqlite3.Error, OSError, UnicodeError):
        if path.exists():
            with contextlib.closing(open_for_reading(path)) as db:
                return bool(earlier.form(db)) or earlier.is_half_converted(db)
    return False


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
                refuse_newer_of(path, db)


def refuse_newer_of(path: Path, db: sqlite3.Connection) -> None:
    """Refuse an open journal that a newer version wrote.

    Args:
        path: of ``journal.db``.
        db: the journal.

    Raises:
        ConfigError: its format is newer than this version reads.
        sqlite3.Error: it cannot be read.
    """
    for (found,) in db.execute("SELECT format FROM state").fetchall():
        if isinstance(found, int) and found > position.FORMAT:
            raise ConfigError(
                f"journal {path}: its format {found} is newer than this version reads ({position.FORMAT}): "
                "run the version that wrote it, or move the file away"
            )


def refuse_other(path: Path, db: sqlite3.Connection) -> None:
    """Refuse a database that is not a journal, such as an empty file, or that a newer version wrote.

    Args:
        path: of ``journal.db``.
        db: the database.

    Raises:
        JournalError: it is not a journal.
        ConfigError: its format is newer than this version reads.
        sqlite3.Error: it cannot be read.
    """
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name IN ('state', 'block', 'message')").fetchone():
        raise JournalError(f"journal {path}: it is not a journal: it has none of a journal's tables")
    if _is_made(db):
        refuse_newer_of(path, db)


def refuse_earlier(path: Path, db: sqlite3.Connection) -> None:
    """Refuse a journal whose messages are not all in this format.

    Args:
        path: of ``journal.db``.
        db: the journal.

    Raises:
        JournalError: it has an earlier format, or is being converted.
        sqlite3.Error: it cannot be read.
    """
    if form := earlier.form(db):
        how = "the relay converts it at its start, `fedmsg-relay journal convert` at any time"
        raise JournalError(f"journal {path}: it has format {form}: {how}")
    if earlier.is_half_converted(db):
        raise JournalError(f"journal {path}: it is not converted to the end: start the relay, or try again later")


def find_position(db: sqlite3.Connection) -> position.Position:
    """Find the position of a journal of any known format, without writing to it.

    Args:
        db: a journal.

    Raises:
        position.UntrustedError: its notes are damaged.
        sqlite3.Error: it cannot be read.
    """
    return earlier.find_position(db) if earlier.form(db) else position.find(db)


def _is_made(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone())


def _make(db: sqlite3.Connection) -> None:
    db.executescript(_PRAGMAS)
    with transaction(db):
        for statement in STATEMENTS:
            db.execute(statement)
        position.begin(db, 0, 0, position.seal_listeners([]))
