"""``fedmsg-relay``: the daemon, and the commands of those who look after it."""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from fedmsg_relay import __version__, errors
from fedmsg_relay import config as global_config
from fedmsg_relay.commands import journal as journal_cli
from fedmsg_relay.errors import ConfigError, NoRelayError, RelayError, UsageError

OK, CRITICAL, UNKNOWN = 0, 2, 3
"""Exit codes of Nagios plugins, which ``status``, ``probe`` and ``endpoints --check`` follow."""

_EPILOG = """\
examples:
  fedmsg-relay                     run the relay in the foreground, as the unit does
  fedmsg-relay check-config        would it start, and what would it bind?
  fedmsg-relay status              is it well, who is connected, what was dropped?
  fedmsg-relay probe               does a message that goes in come out?
  fedmsg-relay endpoints --check   does this host reach the relay?
  eval "$(fedmsg-relay endpoints --shell)"; echo "$RELAY_INBOUND"

Where the relay is stands in the global fedmsg config (/etc/fedmsg.d/*.py and the other usual places); how this daemon
runs in relay.toml. "fedmsg-relay COMMAND --help" tells more about each command.

signals: TERM and INT drain and stop, HUP re-reads [limits] and [journal] of relay.toml, USR1 reopens the log.
exit codes: 0 ended as asked   64 usage   69 could not bind   78 config
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if {"status", "probe", "--check"} & set(sys.argv[1:]):  # what they do not recognize, the main parser reports
            print(f"UNKNOWN - {message} (see {self.prog} --help)")
            sys.exit(UNKNOWN)
        raise UsageError(f"{message} (see {self.prog} --help)")


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
    from fedmsg_relay.daemon import addresses, settings  # noqa: PLC0415 -- the other commands need less
    from fedmsg_relay.daemon.relay import Relay, name_process  # noqa: PLC0415
    from fedmsg_relay.daemon.status import StatusServer  # noqa: PLC0415
    from fedmsg_relay.runtime import log  # noqa: PLC0415 -- the other commands need less

    name_process()
    chosen = settings.load(options.settings)
    config = _config(options)
    try:
        plans = addresses.plan(config, chosen, options.settings)
    except addresses.NoAddressError as error:
        raise RelayError(str(error)) from error  # which is tried again: the name server may only be late
    links = addresses.upstream(config, chosen, plans, options.settings)
    log.start()
    _raise_file_limit()
    try:
        relay = Relay(plans, links, chosen, lambda: settings.load(options.settings))
        with closing(relay), closing(StatusServer(relay)):
            relay.run()
    except RelayError as error:
        log.log.error("%s", error)
        return error.exit_code
    except Exception:  # noqa: BLE001 -- which ends the process either way
        # Whatever it is, it has nothing to do with stdout, which errors.run() would think of an OSError.
        log.log.exception("the relay ends, which is a fault of its own; please report it")
        return errors.EX_SOFTWARE
    return errors.EX_OK


def _raise_file_limit() -> None:
    """A connection is a file descriptor; take as many as we are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_config(options: argparse.Namespace) -> int:
    """Say what a start would do, without starting."""
    from fedmsg_relay.daemon import addresses, settings  # noqa: PLC0415
    from fedmsg_relay.journal import schema  # noqa: PLC0415
    from fedmsg_relay.runtime import paths  # noqa: PLC0415

    config = _config(options, dict(options.stand_in))
    result: dict[str, Any] = {
        "ok": True,
        "files": global_config.files(_named(options), dict(options.stand_in)),
        **{key: global_config.addresses(config, key) for key in _endpoint_keys(config)},
    }
    if options.scripts:
        for key in _endpoint_keys(config):
            _refuse_to_connect(result[key], f"global config: {key}")
    else:
        chosen = settings.load(options.settings)
        plans = addresses.plan(config, chosen, options.settings)
        result["bind"] = {name: plan.local for name, plan in plans.endpoints().items()}
        result["upstream"] = addresses.upstream(config, chosen, plans, options.settings)
        result["settings"] = settings.reloaded(chosen)
        schema.refuse_newer(paths.state() / "journal.db")
    if options.json:
        print(json.dumps(result))
        return OK
    for path in result["files"]:
        print(f"read      {path}")
    for key in _endpoint_keys(config):
        print(f"names     {key} {' '.join(result[key])}")
    for endpoint, bound in result.get("bind", {}).items():
        if bound:
            print(f"would bind {endpoint} {' '.join(bound)}")
    for submit, outbound in result.get("upstream", ()):
        print(f"would be chained to submit {submit} outbound {outbound}")
    print("OK")
    return OK


def _refuse_to_connect(addresses: list[str], origin: str) -> None:
    """Stop where an address is malformed, or can only be bound."""
    from fedmsg_relay.network.address import split  # noqa: PLC0415

    for address in addresses:
        if not address.startswith("ipc://") and split(address, origin)[0] == "*":
            raise ConfigError(f"{origin}: {address!r} names no host that scripts and listeners could connect to")


def _status(options: argparse.Namespace) -> int:
    """Ask the relay of this host how it is."""
    from fedmsg_relay.commands import status  # noqa: PLC0415

    try:
        answer = status.ask()
    except NoRelayError as error:
        code, line = _judge_silence(options, error)
        print(json.dumps({"ok": False, "summary": line.partition(" - ")[2]}) if options.json else line)
        return code
    try:
        code, line = status.judge(answer)
        below = status.details(answer)
    except (LookupError, TypeError, ValueError, AttributeError):
        code, below, shown = UNKNOWN, [], {}
        line = "UNKNOWN - the relay that answers is of another version: its status has another form"
    else:
        shown = dict(answer)
    if options.json:
        print(json.dumps({"ok": code == OK, "summary": line.partition(" | ")[0], **shown}))
    else:
        print("\n".join([line, *below]))
    return code


def _judge_silence(options: argparse.Namespace, silence: NoRelayError) -> tuple[int, str]:
    """Tell a relay that is down from a host that has none."""
    from fedmsg_relay.commands import reach  # noqa: PLC0415
    from fedmsg_relay.runtime import paths  # noqa: PLC0415

    try:
        named = global_config.addresses(_config(options), "relay_inbound")
        elsewhere = f"; the config names {' '.join(named)}"
    except ConfigError as error:
        named, elsewhere = [], f", and its config names none: {error}"
    if paths.is_relay_host() or reach.is_here(named):
        return CRITICAL, f"CRITICAL - {silence}"
    return UNKNOWN, f"UNKNOWN - no relay runs on this host{elsewhere}"


def _probe(options: argparse.Namespace) -> int:
    """Send a real message through the relay."""
    from fedmsg_relay.commands import probe  # noqa: PLC0415

    try:
        if options.inbound and options.outbound and not global_config.files(_named(options)):
            config = dict(global_config.DEFAULTS)  # a relay can be probed by address before any config is there
        else:
            config = _config(options)
        inbound = options.inbound or global_config.addresses(config, "relay_inbound")
        outbound = options.outbound or global_config.addresses(config, "relay_outbound")
        result = probe.probe(config, inbound, outbound, options.timeout)
    except ConfigError as error:
        print(json.dumps({"ok": False, "summary": str(error)}) if options.json else f"UNKNOWN - {error}")
        return UNKNOWN
    code, line = result.judge()
    print(json.dumps(result.describe()) if options.json else line)
    return code


def _deliver(options: argparse.Namespace) -> int:
    """Deliver the spool of this host."""
    from fedmsg_relay.commands import deliver  # noqa: PLC0415

    config = _config(options)
    done = deliver.deliver(config, _spool_of(options, config), options.patience)
    print(json.dumps(done._asdict()) if options.json else f"delivered {done.delivered}, refused {done.refused}")
    return errors.EX_DATAERR if done.refused else errors.EX_OK


def _list_spool(options: argparse.Namespace) -> int:
    """List what waits in the spool of this host."""
    from fedmsg_relay import spool  # noqa: PLC0415

    path = _spool_of(options, _config(options))
    try:
        names = spool.pending(path)
    except OSError as error:
        raise RelayError(f"spool {path}: {error.strerror}") from error
    print(
        json.dumps({"spool": path, "waiting": names}) if options.json else "\n".join([f"{len(names)} waiting", *names])
    )
    return errors.EX_OK


def _spool_of(options: argparse.Namespace, config: global_config.Config) -> str:
    from fedmsg_relay import spool  # noqa: PLC0415

    path = options.spool or str(config.get("relay_spool", spool.DIRECTORY))
    if not path:
        raise RelayError(f"this host has no spool: relay_spool is empty (read: {global_config.sources(config)})")
    return path


def _endpoints(options: argparse.Namespace) -> int:
    """Print where the global config says the relay is, or look whether that can be reached."""
    if options.check:
        return _check_endpoints(options)
    config = _config(options)
    found = {key: global_config.addresses(config, key) for key in _endpoint_keys(config)}
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


def _check_endpoints(options: argparse.Namespace) -> int:
    """Connect to every address that the config, or the command line, names."""
    from fedmsg_relay.commands import reach  # noqa: PLC0415

    endpoints = {f"relay_{name}": getattr(options, name) for name in ("inbound", "outbound", "submit")}
    try:
        if not any(endpoints.values()):
            config = _config(options)
            endpoints = {key: global_config.addresses(config, key) for key in _endpoint_keys(config)}
        wanted = {key: addresses for key, addresses in endpoints.items() if addresses}
        for key, addresses in wanted.items():
            _refuse_to_connect(addresses, key)
    except ConfigError as error:
        print(json.dumps({"ok": False, "summary": str(error)}) if options.json else f"UNKNOWN - {error}")
        return UNKNOWN
    found = reach.check(wanted, options.timeout)
    code, line = reach.judge(found)
    print(json.dumps(reach.describe(found)) if options.json else line)
    return code


def _endpoint_keys(config: global_config.Config) -> list[str]:
    """Those that every config must name, and submit where it does."""
    return ["relay_inbound", "relay_outbound", *(["relay_submit"] if config.get("relay_submit") else [])]


def _named(options: argparse.Namespace) -> list[str] | None:
    return [options.config_filename] if options.config_filename else None


def _config(options: argparse.Namespace, stand_in: dict[str, str] | None = None) -> global_config.Config:
    return global_config.read(_named(options), stand_in)


def seconds(text: str) -> float:
    """Take a positive number of seconds from the command line."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def stand_in(text: str) -> tuple[str, str]:
    """Take ``NEW=INSTALLED`` from the command line, turned round for a lookup by what is installed."""
    new, equals, installed = text.partition("=")
    if not (new and equals and installed):
        raise ValueError
    return installed, new


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fedmsg-relay",
        description="The passive-to-passive adaptor of the fedmsg bus: scripts push in, listeners hear it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fedmsg-relay {__version__}")
    parser.set_defaults(command=_serve)
    _add_config(parser, default=None)
    _add_settings(parser, default=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    check = commands.add_parser("check-config", help="check the merged global config and relay.toml without starting")
    check.set_defaults(command=_check_config)
    _add_config(check)
    _add_settings(check)
    check.add_argument(
        "--stand-in",
        action="append",
        default=[],
        type=stand_in,
        metavar="NEW=INSTALLED",
        help="read the file NEW where INSTALLED would be read, to check a file before it is put in place",
    )
    check.add_argument(
        "--scripts",
        action="store_true",
        help="this host runs no relay: check what scripts need",
    )
    _add_json(check)

    status = commands.add_parser("status", help="how the relay of this host is (Nagios plugin)")
    status.set_defaults(command=_status)
    _add_config(status)
    _add_json(status)

    probe = commands.add_parser(
        "probe", help="send a real message in at inbound and hear it at outbound (Nagios plugin)"
    )
    probe.set_defaults(command=_probe)
    _add_config(probe)
    probe.add_argument("--inbound", action="append", metavar="ADDRESS", help="instead of relay_inbound of the config")
    probe.add_argument("--outbound", action="append", metavar="ADDRESS", help="instead of relay_outbound of the config")
    probe.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="SECONDS", help="for each inbound (default: 10)"
    )
    _add_json(probe)

    journal = commands.add_parser("journal", help="look into the journal: ls, show, tail, export, quarantine, check")
    journal_cli.add_commands(journal)

    spools = commands.add_parser("spool", help="what waits on this host for a relay: ls, deliver")
    actions = spools.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    waiting = actions.add_parser("ls", help="list what waits")
    waiting.set_defaults(command=_list_spool)
    deliver = actions.add_parser("deliver", help="deliver it, in order, each message once")
    deliver.set_defaults(command=_deliver)
    deliver.add_argument(
        "--patience", type=seconds, default=60.0, metavar="SECONDS", help="go on trying so long (default: 60)"
    )
    for action in (waiting, deliver):
        _add_config(action)
        action.add_argument("--spool", metavar="DIR", help="instead of relay_spool of the config, or the usual place")
        _add_json(action)

    endpoints = commands.add_parser(
        "endpoints", help="print where the global config says the relay is; can it be reached (Nagios plugin)?"
    )
    endpoints.set_defaults(command=_endpoints)
    _add_config(endpoints)
    form = endpoints.add_mutually_exclusive_group()
    _add_json(form)
    form.add_argument("--shell", action="store_true", help="print RELAY_INBOUND=... and so on, for eval in sh")
    endpoints.add_argument(
        "--check", action="store_true", help="connect to each, up to the end of the handshake (Nagios plugin)"
    )
    for name in ("inbound", "outbound", "submit"):
        endpoints.add_argument(
            f"--{name}",
            action="append",
            metavar="ADDRESS",
            help=f"with --check: this as relay_{name}, and nothing that the config names",
        )
    endpoints.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="SECONDS", help="with --check: for all of it (default: 5)"
    )
    return parser


def _add_config(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Like ``--settings`` it stands before or after a command; what is not given after must not hide what was."""
    parser.add_argument(
        "--config-filename", metavar="FILE", default=default, help="read this config file instead of the usual places"
    )


def _add_settings(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        default=default,
        help="relay.toml (default: /etc/fedmsg-relay/relay.toml if it exists)",
    )


def _add_json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


if __name__ == "__main__":
    sys.exit(main())
