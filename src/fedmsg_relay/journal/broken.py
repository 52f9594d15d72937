"""Tells a journal that is broken for good from one that can not be used just now."""

from __future__ import annotations

import sqlite3

_PASSING = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_OK,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_TOOBIG,
}
"""What SQLite says of the disk, of rights and of other programs: it may pass. All else it says of the file."""

_LASTING = {
    sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_READONLY_DBMOVED,
}
"""And of these too: the same will be said again and again."""


def is_broken(error: Exception) -> bool:
    """Tell what the file is from what the disk does.

    Args:
        error: that came of the journal.

    Returns:
        Whether it will never work with this file.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF not in _PASSING or code in _LASTING


def is_too_big(error: Exception) -> bool:
    """Tell whether something is larger than SQLite takes: nothing that it has written is.

    Args:
        error: that came of the journal.
    """
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) == sqlite3.SQLITE_TOOBIG
