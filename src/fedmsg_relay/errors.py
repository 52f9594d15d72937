"""What can go wrong, and the exit code each fault ends a command with (sysexits)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_NOPERM = 77
EX_CONFIG = 78


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
    """No relay took the message: it was not sent, or its connection broke before it was handed over.

    Attributes:
        sent: of several messages, how many a relay had taken before.
    """

    exit_code = EX_UNAVAILABLE
    sent = 0


class RefusedError(RelayError):
    """A policy refuses the message; it was not sent."""

    exit_code = EX_NOPERM


class ConfigError(RelayError, ValueError):
    """The global config or relay.toml can not be used as it is."""

    exit_code = EX_CONFIG


class JournalError(RelayError):
    """The journal can not be read or written: disk full, read-only, no permission, or of a newer version."""

    exit_code = EX_UNAVAILABLE


class JournalCorruptError(JournalError):
    """The journal's file is damaged so that SQLite can not work with it: it has to be set aside."""


def run(name: str, command: Callable[[], int]) -> int:
    """Run a command; turn every foreseeable fault into one line on stderr.

    Args:
        name: the command's name, which begins the line.
        command: does the work and returns the exit code.

    Returns:
        The exit code: the command's own, or that of the fault.
    """
    _open_closed_standard_files()
    try:
        code = command()
        sys.stdout.flush()
    except RelayError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Our reader has gone (`| head`): end as the shell expects, and keep the interpreter's own flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _open_closed_standard_files() -> None:
    """Hooks and daemons start programs without them; no socket of ours shall get the number of one, in this order."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 -- for good
