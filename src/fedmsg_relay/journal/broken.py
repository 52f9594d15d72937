"""Tells a journal that is broken for good from one that cannot be used at the moment."""

from __future__ import annotations

import sqlite3

_TRANSIENT = {
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
"""SQLite's codes for faults of the disk, of permissions and of other programs, which may pass. All others are about the
file."""

_LASTING = {
    sqlite3.SQLITE_IOERR_CORRUPTFS,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_READONLY_DBMOVED,
}
"""SQLite's codes that look as if they might pass, but come again and again with this file."""


def is_broken(error: Exception) -> bool:
    """Tell whether an error will come again and again with this file.

    Args:
        error: from reading or writing the journal.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF not in _TRANSIENT or code in _LASTING


def is_too_big(error: Exception) -> bool:
    """Tell whether a value is larger than SQLite takes: SQLite has not written such a value.

    Args:
        error: from reading or writing the journal.
    """
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) == sqlite3.SQLITE_TOOBIG
