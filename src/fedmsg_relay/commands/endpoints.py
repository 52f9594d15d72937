"""``fedmsg-relay endpoints``: where the global config says that the relay is, and whether it can be reached there."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from fedmsg_relay import config as global_config
from fedmsg_relay.commands.arguments import (
    OK,
    add_config,
    add_json,
    endpoint_keys,
    print_unknown,
    read_config,
    refuse_to_connect,
    seconds,
)
from fedmsg_relay.errors import ConfigError, UsageError


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    endpoints = commands.add_parser(
        "endpoints",
        help="print the relay's addresses in the global config, or check that they can be reached (Nagios plugin)",
    )
    endpoints.set_defaults(command=_endpoints)
    add_config(endpoints)
    form = endpoints.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--shell", action="store_true", help="print RELAY_INBOUND=... and so on, for eval in sh")
    endpoints.add_argument(
        "--check", action="store_true", help="connect to each address, to the end of the handshake (Nagios plugin)"
    )
    for name in ("inbound", "outbound", "submit"):
        endpoints.add_argument(
            f"--{name}",
            action="append",
            metavar="ADDRESS",
            help=f"with --check: use this as relay_{name}, and no address of the config",
        )
    endpoints.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="with --check: maximum time in seconds for all addresses together (default: 5)",
    )


def _endpoints(options: argparse.Namespace) -> int:
    if options.check:
        return _check(options)
    if options.inbound or options.outbound or options.submit:
        raise UsageError("--inbound, --outbound and --submit need --check (see fedmsg-relay endpoints --help)")
    config = read_config(options)
    found = {key: global_config.addresses(config, key) for key in endpoint_keys(config)}
    if options.json:
        print(json.dumps(found))
    elif options.shell:
        for key, addresses in found.items():
            print(f"{key.upper()}={shlex.quote(' '.join(addresses))}")
    else:
        for key, addresses in found.items():
            for address in addresses:
                print(key, address)
    return OK


def _check(options: argparse.Namespace) -> int:
    """Connect to every address that the config, or the command line, names."""
    from fedmsg_relay.commands import reach  # noqa: PLC0415 -- without --check it is not needed

    endpoints = {f"relay_{name}": getattr(options, name) for name in ("inbound", "outbound", "submit")}
    try:
        if not any(endpoints.values()):
            config = read_config(options)
            endpoints = {key: global_config.addresses(config, key) for key in endpoint_keys(config)}
        wanted = {key: addresses for key, addresses in endpoints.items() if addresses}
        for key, addresses in wanted.items():
            refuse_to_connect(addresses, key)
    except ConfigError as error:
        return print_unknown(error, options.json)
    found = reach.check(wanted, options.timeout)
    code, line = reach.judge(found)
    print(json.dumps(reach.describe(found)) if options.json else line)
    return code
