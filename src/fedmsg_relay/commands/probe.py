"""``fedmsg-relay probe``: sends a real message through the relay, and judges as a Nagios plugin does."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fedmsg_relay import config as global_config
from fedmsg_relay.commands.arguments import add_config, add_json, config_files, print_unknown, read_config, seconds
from fedmsg_relay.errors import ConfigError


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    probe = commands.add_parser(
        "probe", help="send a real message in at inbound and hear it at outbound (Nagios plugin)"
    )
    probe.set_defaults(command=_probe)
    add_config(probe)
    probe.add_argument("--inbound", action="append", metavar="ADDRESS", help="instead of relay_inbound of the config")
    probe.add_argument("--outbound", action="append", metavar="ADDRESS", help="instead of relay_outbound of the config")
    probe.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="maximum time in seconds for each inbound (default: 10)",
    )
    add_json(probe)


def _probe(options: argparse.Namespace) -> int:
    from fedmsg_relay.commands.round_trip import probe  # noqa: PLC0415 -- the other commands need less

    try:
        if options.inbound and options.outbound and not global_config.files(config_files(options)):
            config = dict(global_config.DEFAULTS)  # a relay can be probed by address before any config is there
        else:
            config = read_config(options)
        inbound = options.inbound or global_config.addresses(config, "relay_inbound")
        outbound = options.outbound or global_config.addresses(config, "relay_outbound")
        result = probe(config, inbound, outbound, options.timeout)
    except ConfigError as error:
        return print_unknown(error, options.json)
    code, line = result.judge()
    print(json.dumps(result.describe()) if options.json else line)
    return code
