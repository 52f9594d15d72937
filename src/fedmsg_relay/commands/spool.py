"""``fedmsg-relay spool``: what waits on this host for a relay, and its delivery."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedmsg_relay import config as global_config
from fedmsg_relay import errors, spool
from fedmsg_relay.commands.arguments import Parser, accepts, add_config, add_json, read_config, seconds


def add_command(commands: Any) -> None:
    """Declare ``ls`` and ``deliver``.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    spools = commands.add_parser("spool", help="messages that wait on this host for a relay: ls, deliver")
    actions = spools.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    listing = actions.add_parser("ls", help="list the messages that wait")
    listing.set_defaults(command=_list)
    delivery = actions.add_parser("deliver", help="deliver the messages, in order, each one once")
    delivery.set_defaults(command=_deliver)
    delivery.add_argument(
        "--patience",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="maximum time in seconds to go on trying while no relay answers (default: 60)",
    )
    delivery.add_argument(
        "--textfile",
        type=_file,
        metavar="FILE",
        help="at the end write here how many messages wait, for the textfile collector of Prometheus' node exporter",
    )
    for action in (listing, delivery):
        add_config(action)
        action.add_argument("--spool", metavar="DIR", help="instead of relay_spool of the config, or the usual place")
        add_json(action)


@accepts("the name of a file")
def _file(text: str) -> Path:
    """Take the name of a file from the command line."""
    path = Path(text)
    if not path.name:
        raise ValueError
    return path


def _list(options: argparse.Namespace) -> int:
    path = _path(options, read_config(options))
    try:
        names = spool.pending(path)
    except OSError as error:
        raise errors.RelayError(f"spool {path}: {error.strerror}") from error
    print(
        json.dumps({"spool": path, "waiting": names}) if options.json else "\n".join([f"{len(names)} waiting", *names])
    )
    return errors.EX_OK


def _deliver(options: argparse.Namespace) -> int:
    from fedmsg_relay.commands import deliver  # noqa: PLC0415 -- the other commands need less
    from fedmsg_relay.runtime import process  # noqa: PLC0415

    process.rename("fedmsg-deliver")
    config = read_config(options)
    path = _path(options, config)
    try:
        done = deliver.deliver(config, path, options.patience)
    except errors.RelayError:
        with suppress(errors.RelayError):
            _tell(options.textfile, path)
        raise
    _tell(options.textfile, path)
    print(json.dumps(done._asdict()) if options.json else f"delivered {done.delivered}, refused {done.refused}")
    return errors.EX_DATAERR if done.refused else errors.EX_OK


def _tell(file: Path | None, path: str) -> None:
    """Write how many messages wait, if there is a file for it."""
    from fedmsg_relay.commands import textfile  # noqa: PLC0415 -- the other commands need less

    if file:
        textfile.write(file, path)


def _path(options: argparse.Namespace, config: global_config.Config) -> str:
    path = options.spool or spool.place(config)
    if not path:
        raise errors.RelayError(f"this host has no spool: relay_spool is empty (read: {global_config.sources(config)})")
    return path
