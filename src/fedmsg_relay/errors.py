"""The faults that are foreseen, and the exit code of each (sysexits)."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import TextIO

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_IOERR = 74
EX_NOPERM = 77
EX_CONFIG = 78

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE, errno.EAGAIN)
"""Errors of writing to a file that is already open."""


class RelayError(Exception):
    """A foreseeable fault: a command says it in one line and ends with ``exit_code``."""

    exit_code = EX_UNAVAILABLE


class UsageError(RelayError, ValueError):
    """The command or function was called in a way it does not offer."""

    exit_code = EX_USAGE


class NotWellFormedError(RelayError, ValueError):
    """The message is not well-formed; it was not sent."""

    exit_code = EX_DATAERR


class NoRelayError(RelayError, OSError):
    """No relay took the message: the message was not sent, or the connection broke before the relay had it."""

    exit_code = EX_UNAVAILABLE


class RefusedError(RelayError):
    """A policy refuses the message; it was not sent."""

    exit_code = EX_NOPERM


class ConfigError(RelayError, ValueError):
    """The global config or relay.toml cannot be used as it is."""

    exit_code = EX_CONFIG


class JournalError(RelayError):
    """The journal cannot be read or written: disk full, read-only, no permission, or of a newer version."""

    exit_code = EX_UNAVAILABLE


class JournalCorruptError(JournalError):
    """The journal's file is damaged so that SQLite cannot work with it: it has to be set aside."""


def run(name: str, command: Callable[[], int]) -> int:
    """Run a command; turn every foreseeable fault into one line on stderr.

    Args:
        name: the command's name, which begins the line.
        command: does the work and returns the exit code.

    Returns:
        The exit code: the command's own, or that of the fault.
    """
    _open_closed_standard_files()
    _print_in_any_locale()
    try:
        code = _run(name, command)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NOT_WRITTEN or error.filename is not None:
            raise
        _discard(sys.stdout)
        if error.errno == errno.EPIPE:  # our reader has gone (`| head`): end as the shell expects
            return 141
        say(f"{name}: cannot write to stdout: {error.strerror}")
        return EX_IOERR
    return code


def _run(name: str, command: Callable[[], int]) -> int:
    try:
        return command()
    except RelayError as error:
        say(f"{name}: {one_line(error)}")
        return error.exit_code
    except SystemExit as ended:  # after --help; what it has printed is yet to be flushed
        if isinstance(ended.code, str):
            say(f"{name}: {ended.code}")
            return 1
        return ended.code or EX_OK
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        say(f"{name}: there is not enough memory")
        return EX_UNAVAILABLE


def say(line: str) -> None:
    """Print a line on stderr. If it cannot be written, the work goes on, and the exit code tells.

    Args:
        line: the command's name, and the fault.
    """
    try:
        print(printable(line), file=sys.stderr)
    except OSError:
        _discard(sys.stderr)


def one_line(error: object) -> str:
    """Write an error as one line, which no text in it can steer: a config file may raise anything.

    Args:
        error: the error, or its text.
    """
    return printable(" ".join(str(error).split()))


def tenths(seconds: float) -> str:
    """Write a time limit for an error, rounded up to a tenth: the code may have used a little of the time before.

    Args:
        seconds: the limit, or what is left of it.
    """
    return f"{-(-max(0.0, seconds) * 10 // 1) / 10:.10g}"


def printable(text: str, keep: str = "") -> str:
    """Escape characters that could steer a terminal, or make it show another text: the words of peers must not.

    Args:
        text: with anything in it.
        keep: characters that are not escaped.

    Returns:
        The text in characters that are printed as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def _discard(stream: TextIO) -> None:
    """Drop what a stream cannot write, or the interpreter tries it again at its end, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_in_any_locale() -> None:
    """Escape characters that the locale does not have, as stderr does by itself; they are not a reason to stop."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _open_closed_standard_files() -> None:
    """Open standard files that hooks and daemons closed, in this order, so that no socket gets the number of one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 -- for good
