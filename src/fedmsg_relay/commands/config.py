"""``fedmsg-relay check-config``: what a start would do, without starting."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmsg_relay import config as global_config
from fedmsg_relay import errors
from fedmsg_relay.commands import spool_state
from fedmsg_relay.commands.arguments import (
    OK,
    accepts,
    add_config,
    add_json,
    add_settings,
    config_files,
    endpoint_keys,
    read_config,
    refuse_to_connect,
)
from fedmsg_relay.runtime.dates import until

if TYPE_CHECKING:
    from fedmsg_relay.daemon.settings import Settings


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    check = commands.add_parser("check-config", help="check the merged global config and relay.toml without starting")
    check.set_defaults(command=_check)
    add_config(check)
    add_settings(check)
    check.add_argument(
        "--stand-in",
        action="append",
        default=[],
        type=stand_in,
        metavar="NEW=INSTALLED",
        help="read the file NEW in the place of the file INSTALLED, to check NEW before it is installed",
    )
    check.add_argument(
        "--scripts",
        action="store_true",
        help="this host runs no relay: check only what scripts need",
    )
    add_json(check)


@accepts("of the form NEW=INSTALLED")
def stand_in(text: str) -> tuple[str, str]:
    """Read ``NEW=INSTALLED`` from the command line; return it turned round, to look it up by what is installed."""
    new, equals, installed = text.partition("=")
    if not (new and equals and installed):
        raise ValueError
    return installed, new


def _check(options: argparse.Namespace) -> int:
    stand_ins = dict(options.stand_in)
    _require(stand_ins, options)
    config = read_config(options, stand_ins)
    keys = endpoint_keys(config)
    files = global_config.files(config_files(options), stand_ins)
    closed = [path for path in files if not os.access(stand_ins.get(path, path), os.R_OK)]
    result: dict[str, Any] = {
        "ok": True,
        "files": [path for path in files if path not in closed],
        "left_out": closed,
        **{key: global_config.addresses(config, key) for key in keys},
    }
    result["sign"] = _sign(config)
    spooled = spool_state.look(config)
    result["spool"] = spooled._asdict()
    if options.scripts:
        for key in keys:
            refuse_to_connect(result[key], f"global config: {key}")
    else:
        result |= _start(options, config)
    if options.json:
        print(json.dumps(result))
        return OK
    print("\n".join([*_describe_config(result, keys), *_describe_start(result)]))
    print("\n".join(map(errors.printable, spool_state.describe(spooled))))
    if result["sign"]:
        print(result["sign"].get("fault") or "would sign as {name} with {key}".format_map(result["sign"]))
    print("OK")
    return OK


def _describe_config(result: dict[str, Any], keys: list[str]) -> list[str]:
    """Say what was read, and where the relay is by that."""
    return [
        *(f"read      {path}" for path in result["files"]),
        *(f"left out  {path}, this user may not read it" for path in result["left_out"]),
        *(f"names     {key} {' '.join(result[key])}" for key in keys),
    ]


def _describe_start(result: dict[str, Any]) -> list[str]:
    """Say what a start of the relay would do; nothing with ``--scripts``."""
    lines = [f"would bind {endpoint} {' '.join(bound)}" for endpoint, bound in result.get("bind", {}).items() if bound]
    lines += [f"would be chained to submit {submit} outbound {out}" for submit, out in result.get("upstream", ())]
    if trust := result.get("trust"):
        lines += _describe_trust(trust)
    if found := result.get("bridge"):
        lines.append(f"would bridge to {' '.join(found['nodes'])} exchange {found['exchange']}")
    return lines


def _require(stand_ins: dict[str, str], options: argparse.Namespace) -> None:
    """Refuse to check a file that is not there, or that would not be read where it is to be installed."""
    for installed, new in stand_ins.items():
        try:
            Path(new).open("rb").close()
        except OSError as error:
            raise errors.ConfigError(f"--stand-in: {new}: {error.strerror}") from error
        if installed not in global_config.files(config_files(options), stand_ins):
            raise errors.UsageError(f"--stand-in: {installed} is not one of the files that are read")


def _describe_trust(trust: dict[str, Any]) -> list[str]:
    """Say what would be done about signatures, and against which files."""
    files = [(name, trust[name]) for name in ("ca", "crl") if trust[name]]
    lines = [f"signatures {trust['signatures']}"]
    lines += [f"{name:<9} {errors.printable(file['file'])} {until(file['ends'])}" for name, file in files]
    if trust["ca"] and not trust["crl"]:
        lines.append("crl       none, revoked certificates are accepted")
    if trust["fault"]:
        lines.append(f"signatures cannot be checked: {trust['fault']}")
    return lines


def _sign(config: global_config.Config) -> dict[str, str] | None:
    """Describe as what this user's scripts would sign, or why they cannot; None where they do not."""
    if not config.get("sign_messages"):
        return None
    try:
        from fedmsg_relay import signing  # noqa: PLC0415 -- only where messages are signed

        pair = signing.check({"cert_prefix": "shell", **config})
    except errors.ConfigError as error:
        return {"fault": errors.printable(" ".join(str(error).split()))}
    return pair._asdict() if pair else None


def _start(options: argparse.Namespace, config: global_config.Config) -> dict[str, Any]:
    """Describe what a start of the relay would do."""
    from fedmsg_relay.daemon import addresses, checks, describe, screening, settings  # noqa: PLC0415 -- others need less
    from fedmsg_relay.journal import schema  # noqa: PLC0415
    from fedmsg_relay.runtime import paths  # noqa: PLC0415

    chosen = settings.load(options.settings)
    plans = addresses.plan(config, chosen, options.settings)
    checked = checks.checks(config, chosen.trust, options.settings)
    found = {
        "bind": {name: plan.local for name, plan in plans.endpoints().items()},
        "upstream": addresses.upstream(config, chosen, plans, options.settings),
        "settings": settings.reloaded(chosen),
        "trust": describe.describe_condition(screening.condition(checked)),
        "bridge": _bridge(options, config, chosen),
    }
    schema.refuse_newer(paths.state_of_host() / "journal.db")
    return found


def _bridge(options: argparse.Namespace, config: global_config.Config, chosen: Settings) -> dict[str, Any] | None:
    """Describe what the bridge would do; None where there is none."""
    from fedmsg_relay.commands import bridge  # noqa: PLC0415 -- most hosts have none
    from fedmsg_relay.daemon.settings import DEFAULT_PATH  # noqa: PLC0415

    if chosen.bridge is None:
        return None
    found = bridge.check(chosen.bridge, str(options.settings or DEFAULT_PATH))
    if chosen.bridge.back_queue is not None:
        found["submit"] = bridge.own_submit(config, chosen, options.settings)
    return found
