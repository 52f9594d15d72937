"""``fedmsg-relay bridge``: carries messages between the journal of this host and RabbitMQ; and how that goes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmsg_relay.commands.arguments import OK, accepts, add_config, add_json, add_settings, print_unknown, read_config
from fedmsg_relay.errors import ConfigError, RelayError
from fedmsg_relay.runtime import paths

if TYPE_CHECKING:
    from fedmsg_relay.bridge.report import Report
    from fedmsg_relay.daemon.settings import Bridge, Settings


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    text = "send every message of this host's journal to RabbitMQ, and submit the messages of bridge.back_queue"
    bridge = commands.add_parser("bridge", help=text, description=text)
    bridge.set_defaults(command=_bridge)
    add_config(bridge)
    add_settings(bridge)
    bridge.add_argument(
        "--from",
        dest="start",
        type=_start,
        default="oldest",
        metavar="oldest|now|SEQ",
        help="message of the journal that the very first start begins with (default: oldest)",
    )
    below = bridge.add_subparsers(metavar="COMMAND", parser_class=type(bridge))
    status = below.add_parser("status", help="tell the state of the bridge of this host (Nagios plugin)")
    status.set_defaults(command=_status)
    add_settings(status)
    add_json(status)
    seen = below.add_parser("acknowledge", help="let losses that were reported no longer be CRITICAL")
    seen.set_defaults(command=_acknowledge)
    again = below.add_parser("retry", help="let messages that the broker refused be sent again")
    again.set_defaults(command=_retry)


@accepts("oldest, now, or the seq of a message")
def _start(text: str) -> str:
    """Read where to begin from the command line."""
    if text not in {"oldest", "now"} and not 0 < int(text) < 2**62:
        raise ValueError
    return text


def _bridge(options: argparse.Namespace) -> int:
    from fedmsg_relay.bridge import target  # noqa: PLC0415 -- the other commands need less
    from fedmsg_relay.daemon import settings  # noqa: PLC0415

    try:
        from fedmsg_relay.bridge import process  # noqa: PLC0415 -- only this command needs the extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the bridge needs {error.name}, which is not installed: install fedmsg-relay[bridge]"
        ) from error
    chosen = settings.load(options.settings)
    origin = str(options.settings or settings.DEFAULT_PATH)
    if chosen.bridge is None:
        raise ConfigError(f"{origin}: has no table [bridge], which says where the broker is")
    broker = target.find(chosen.bridge, origin)
    target.certificate(broker)
    config = read_config(options)
    submit, signer = "", None
    if chosen.bridge.back_queue is not None:
        submit, signer = own_submit(config, chosen, options.settings), _signer(config)
    return process.run(process.Plan(chosen.bridge, broker, paths.state(), submit, signer, options.start))


def own_submit(config: Mapping[str, Any], chosen: Settings, path: Path | None) -> str:
    """Find where the relay of this host takes what comes back.

    Args:
        config: the merged global config.
        chosen: relay.toml.
        path: of that.

    Raises:
        ConfigError: it has no submit.
        RelayError: none of the config's addresses is this host's, for now.
    """
    from fedmsg_relay.daemon import addresses  # noqa: PLC0415 -- the other commands need less

    try:
        local = addresses.plan(config, chosen, path).submit.local
    except addresses.NoAddressError as error:
        raise RelayError(str(error)) from error  # as for the relay: it is started again
    if not local:
        raise ConfigError("bridge.back_queue needs the relay's submit: relay_submit of the global config names none")
    for wildcard, own in (("//*:", "//127.0.0.1:"), ("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        if wildcard in local[0]:
            return local[0].replace(wildcard, own)
    return local[0]


def _signer(config: Mapping[str, Any]) -> Any:
    """Get what signs, where the site signs."""
    from fedmsg_relay.publisher import signer  # noqa: PLC0415 -- the other commands need less

    return signer({"cert_prefix": "bridge", **config})


def check(chosen: Bridge, origin: str) -> dict[str, Any]:
    """Describe the broker for ``check-config``.

    Args:
        chosen: ``[bridge]`` of relay.toml.
        origin: the file of that.

    Raises:
        ConfigError: the bridge could not start.
    """
    from fedmsg_relay.bridge import target  # noqa: PLC0415 -- only where a bridge is set

    broker = target.find(chosen, origin)
    found = target.certificate(broker)
    return {
        "nodes": broker.nodes,
        "exchange": broker.exchange,
        "back_queue": chosen.back_queue,
        "tap_queue": chosen.tap_queue,
        "certificate": found.name if found else None,
        "ends": found.ends.timestamp() if found else None,
    }


def _status(options: argparse.Namespace) -> int:
    from fedmsg_relay.bridge.report import report  # noqa: PLC0415 -- the other commands need less
    from fedmsg_relay.daemon import settings  # noqa: PLC0415

    try:
        found = report(paths.state_of_host(), settings.load(options.settings).journal.keep_days)
    except RelayError as error:
        return print_unknown(error, options.json)
    if options.json:
        print(json.dumps({"ok": found.code == OK, "summary": found.summary, **found.facts}))
    else:
        print("\n".join([found.line, *_details(found)]))
    return found.code


def _details(found: Report) -> list[str]:
    """Write out the figures for a person, below the first line."""
    lines = []
    for part in ("forward", "back", "tap"):
        told = found.facts.get(part)
        if told:
            numbers = ", ".join(
                f"{value} {name.replace('_', ' ')}" for name, value in told.items() if type(value) is int
            )
            lines.append(f"{part:12} {told.get('state', 'not running')}: {numbers}")
    if reasons := found.facts.get("forward", {}).get("reasons"):
        lines += [f"set aside    {count} {reason}" for reason, count in reasons.items()]
    return lines


def _acknowledge(_: argparse.Namespace) -> int:
    from fedmsg_relay.bridge import ledger  # noqa: PLC0415 -- the other commands need less

    _require_a_bridge()
    names = {"forward.gap", "forward.jumped", "forward.renewed", "tap.missing", "tap.different", "tap.unknown"}
    opened = ledger.Ledger(paths.state_of_host())
    with opened.transaction() as db:
        seen = {name.partition(".")[2]: value for name, value in ledger.counters(db, "").items() if name in names}
        opened.write_counters(db, "seen.", seen)
    opened.close()
    print(", ".join(f"{value} {name}" for name, value in seen.items()) or "nothing to acknowledge")
    return OK


def _retry(_: argparse.Namespace) -> int:
    from fedmsg_relay.bridge import ledger, retrying  # noqa: PLC0415 -- the other commands need less

    _require_a_bridge()
    opened = ledger.Ledger(paths.state_of_host())
    count = retrying.ask(opened)
    opened.close()
    print(f"the bridge will send {count} again" if count else "nothing to send again")
    return OK


def _require_a_bridge() -> None:
    path = paths.state_of_host() / "bridge.db"
    try:
        path.stat()
    except FileNotFoundError as error:
        raise RelayError(f"no bridge has run on this host: there is no {path}") from error
    except OSError as error:
        raise RelayError(f"{path}: {error.strerror}") from error
