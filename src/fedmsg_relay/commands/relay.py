"""``fedmsg-relay``: starts the daemon, and lists the commands for operators."""

from __future__ import annotations

import argparse
import resource
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from fedmsg_relay import errors
from fedmsg_relay.commands import bridge, config, endpoints, expect, journal, probe, spool, status, tail, trace, web
from fedmsg_relay.commands.arguments import Parser, add_config, add_settings, read_config
from fedmsg_relay.runtime import process

if TYPE_CHECKING:
    from fedmsg_relay.daemon.checks import Checks

_EPILOG = """\
examples:
  fedmsg-relay                     run the relay in the foreground, as the unit does
  fedmsg-relay check-config        would it start, and what would it bind?
  fedmsg-relay status              is it well, which peers are connected, what was dropped?
  fedmsg-relay probe               does a message that goes in come out?
  fedmsg-relay endpoints --check   does this host reach the relay?
  fedmsg-relay tail                every message as it comes
  fedmsg-relay trace MSG_ID        where is this message?
  eval "$(fedmsg-relay endpoints --shell)"; echo "$RELAY_INBOUND"

The global fedmsg config (/etc/fedmsg.d/*.py and the other usual places) names the relay's addresses; relay.toml has the
settings of this daemon. "fedmsg-relay COMMAND --help" tells more about each command.

signals: TERM and INT drain and stop, USR1 reopens the log, HUP re-reads [limits], [journal] and [trust] of relay.toml
and the routing policy, CA and CRL of the global config.
exit codes: 0 ended as asked   64 usage   69 could not bind   78 config
"""


def main() -> int:
    """Run the command.

    Returns:
        Its exit code.
    """
    return errors.run("fedmsg-relay", _run)


def _run() -> int:
    options = _parser().parse_args()
    code: int = options.command(options)
    return code


def _serve(options: argparse.Namespace) -> int:
    """Run the relay."""
    from fedmsg_relay.daemon import addresses, control, describe, settings  # noqa: PLC0415 -- the other commands need less
    from fedmsg_relay.daemon.checks import checks  # noqa: PLC0415
    from fedmsg_relay.daemon.monitoring import Monitoring  # noqa: PLC0415
    from fedmsg_relay.daemon.relay import Relay  # noqa: PLC0415
    from fedmsg_relay.runtime import log  # noqa: PLC0415 -- the other commands need less

    process.rename("fedmsg-relay")
    chosen = settings.load(options.settings)
    global_config = read_config(options)
    try:
        plans = addresses.plan(global_config, chosen, options.settings)
    except addresses.NoAddressError as error:
        # With this exit code the unit starts it again: the name server may only be late.
        raise errors.RelayError(str(error)) from error
    links = addresses.upstream(global_config, chosen, plans, options.settings)
    checked = checks(global_config, chosen.trust, options.settings)

    def reload() -> tuple[settings.Settings, Checks]:
        new = settings.load(options.settings)
        return new, checks(read_config(options), new.trust, options.settings)

    log.start()
    _raise_file_limit()
    try:
        relay = Relay(plans, links, chosen, checked, reload)
        with (
            closing(relay),
            closing(describe.serve(relay)),
            closing(control.serve(relay.pipeline.releases)),
            closing(Monitoring(global_config, relay)),
        ):
            relay.run()
    except errors.RelayError as error:
        log.log.error("%s", error)
        return error.exit_code
    except Exception:  # noqa: BLE001 -- which ends the process either way
        # Otherwise errors.run() would take an OSError for one of stdout.
        log.log.exception("the relay ends by a fault of its own; please report it")
        return errors.EX_SOFTWARE
    return errors.EX_OK


def _raise_file_limit() -> None:
    """Raise the limit of open files as far as allowed: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="fedmsg-relay",
        description="The passive-to-passive adaptor of the fedmsg bus: scripts push in, listeners hear it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fedmsg-relay {process.version()}")
    parser.set_defaults(command=_serve)
    add_config(parser, default=None)
    add_settings(parser, default=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in (config, status, probe, journal, spool, endpoints, web, bridge, tail, trace, expect):
        command.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
