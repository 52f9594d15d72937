"""The arguments that several commands of ``fedmsg-relay`` have, and the config that they name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fedmsg_relay import config as global_config
from fedmsg_relay.errors import ConfigError, UsageError, one_line

Value = TypeVar("Value")

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
"""Exit codes of Nagios plugins, which ``status``, ``probe`` and ``endpoints --check`` follow."""


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong use in one line, as a Nagios plugin does if the command is one."""

    def error(self, message: str) -> NoReturn:
        """End with the message."""
        # Of argv, as the main parser reports arguments that a command does not know.
        if {"status", "probe", "--check"} & set(sys.argv[1:]):
            print(f"UNKNOWN - {message} (see {self.prog} --help)")
            sys.exit(UNKNOWN)
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_config(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Declare ``--config-filename``, which stands before or after a command.

    Args:
        parser: of the command.
        default: of the main parser; a command has none, or it would hide what was given before it.
    """
    parser.add_argument(
        "--config-filename", metavar="FILE", default=default, help="read this config file instead of the usual places"
    )


def add_settings(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Declare ``--settings``; see :func:`add_config`."""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        default=default,
        help="relay.toml (default: /etc/fedmsg-relay/relay.toml if it exists)",
    )


def add_json(parser: Any) -> None:
    """Declare ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def accepts(what: str) -> Callable[[Callable[[str], Value]], Callable[[str], Value]]:
    """Let the error of an argument say what is accepted; argparse alone gives the name of the function that reads it.

    Args:
        what: is accepted.

    Returns:
        A decorator for a function that reads an argument and raises ValueError if it does not accept it.
    """

    def decorate(read: Callable[[str], Value]) -> Callable[[str], Value]:
        @wraps(read)
        def checked(text: str) -> Value:
            try:
                return read(text)
            except (ValueError, OverflowError):
                raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None

        return checked

    return decorate


@accepts("a positive number of seconds")
def seconds(text: str) -> float:
    """Read a positive number of seconds from the command line."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def config_files(options: argparse.Namespace) -> list[str] | None:
    """Get the config files that are named on the command line; None for those in the usual places."""
    return [options.config_filename] if options.config_filename else None


def read_config(options: argparse.Namespace, stand_in: dict[str, str] | None = None) -> global_config.Config:
    """Read the global config that the command line names.

    Args:
        options: of a command with :func:`add_config`.
        stand_in: as for :func:`fedmsg_relay.config.read`.

    Raises:
        ConfigError: it cannot be read.
    """
    with redirect_stdout(sys.stderr):  # what a config file prints is not the output of the command
        return global_config.read(config_files(options), stand_in)


def plain(error: object) -> str:
    """Write an error for the line of a Nagios plugin, in which ``|`` begins the performance data.

    Args:
        error: the error, or its text.
    """
    return one_line(error).replace("|", "/")


def print_unknown(error: object, as_json: bool) -> int:
    """Print that a plugin cannot tell.

    Args:
        error: why.
        as_json: whether to print JSON.

    Returns:
        Its exit code.
    """
    print(json.dumps({"ok": False, "summary": one_line(error)}) if as_json else f"UNKNOWN - {plain(error)}")
    return UNKNOWN


def endpoint_keys(config: global_config.Config) -> list[str]:
    """List the endpoints that a config names: inbound, outbound, and submit if it has one."""
    return ["relay_inbound", "relay_outbound", *(["relay_submit"] if config.get("relay_submit") else [])]


def refuse_to_connect(addresses: list[str], origin: str) -> None:
    """Refuse an address that is malformed, or that can only be bound.

    Args:
        addresses: to connect to.
        origin: where they stand, for the message.

    Raises:
        ConfigError: it names the address.
    """
    from fedmsg_relay.network.address import is_path, split  # noqa: PLC0415 -- most commands need less

    for address in addresses:
        if not is_path(address, origin) and split(address, origin)[0] == "*":
            raise ConfigError(f"{origin}: {address!r} names no host that scripts and listeners could connect to")
