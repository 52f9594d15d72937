"""``fedmsg-relay web``: serves the history of the relay of this host, and how it is, over HTTP."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from fedmsg_relay.commands.arguments import OK, add_config, add_settings, read_config
from fedmsg_relay.errors import ConfigError, RelayError
from fedmsg_relay.runtime import paths


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    text = "serve history, a live stream, metrics and a page over HTTP, beside the relay of this host; only reads"
    web = commands.add_parser("web", help=text, description=text)
    web.set_defaults(command=_web)
    add_config(web, default=argparse.SUPPRESS)
    add_settings(web)


def _web(options: argparse.Namespace) -> int:
    from fedmsg_relay.daemon import addresses, settings  # noqa: PLC0415 -- the other commands need less

    try:
        from fedmsg_relay.web.server import serve  # noqa: PLC0415 -- only this command needs the extra
        from fedmsg_relay.web.signature import Signatures  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the web process needs {error.name}, which is not installed: install fedmsg-relay[web]"
        ) from error
    chosen = settings.load(options.settings)
    config = read_config(options)
    try:
        listen = chosen.http.listen or beside(addresses.plan(config, chosen, options.settings).inbound)
    except addresses.NoAddressError as error:
        raise RelayError(str(error)) from error  # as for the relay: it is started again
    serve(listen, paths.state_of_host() / "journal.db", Signatures(config, chosen.trust), chosen.journal.keep_days)
    return OK


def beside(inbound: Any) -> Sequence[str]:
    """Get where to listen: the addresses of the relay's inbound, with the web's port.

    Args:
        inbound: the plan of its addresses.

    Raises:
        ConfigError: it has no address of TCP.
    """
    from fedmsg_relay.tailing import PORT  # noqa: PLC0415 -- the other commands need no HTTP

    found = [address.rpartition(":")[0] for address in inbound.local if address.startswith("tcp://")]
    if not found:
        raise ConfigError("inbound has no address of TCP: http.listen of relay.toml has to say where the web listens")
    # A wildcard takes in all addresses, also old ones: those have another port at inbound, but not here.
    return [f"tcp://*:{PORT}"] if "tcp://*" in found else list(dict.fromkeys(f"{host}:{PORT}" for host in found))
