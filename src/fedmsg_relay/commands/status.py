"""``fedmsg-relay status``: asks the relay of this host how it is, and judges that as a Nagios plugin does."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmsg_relay import config as global_config
from fedmsg_relay.commands.arguments import (
    CRITICAL,
    OK,
    UNKNOWN,
    add_config,
    add_json,
    plain,
    print_unknown,
    read_config,
)
from fedmsg_relay.commands.judgement import judge, named_files
from fedmsg_relay.errors import ConfigError, NoRelayError, printable
from fedmsg_relay.runtime import paths
from fedmsg_relay.runtime.dates import until

if TYPE_CHECKING:
    from fedmsg_relay.daemon.sources import SourcesStatus
    from fedmsg_relay.daemon.status import AddressStatus, Status, TrustStatus


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    status = commands.add_parser("status", help="tell the state of the relay of this host (Nagios plugin)")
    status.set_defaults(command=_status)
    add_config(status)
    add_json(status)


def _status(options: argparse.Namespace) -> int:
    try:
        answer = ask()
    except NoRelayError as error:
        code, line = _judge_silence(options, error)
        print(json.dumps({"ok": False, "summary": line.partition(" - ")[2]}) if options.json else line)
        return code
    except ConfigError as error:  # of a user without a home
        return print_unknown(error, options.json)
    try:
        code, line = judge(answer)
        below = details(answer)
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
    from fedmsg_relay.commands import reach  # noqa: PLC0415 -- most often it is not needed

    try:
        named = global_config.addresses(read_config(options), "relay_inbound")
        elsewhere = f"; the config names {' '.join(named)}"
    except ConfigError as error:
        named, elsewhere = [], f", and its config names none: {plain(error)}"
    if paths.is_relay_host() or reach.is_here(named):
        return CRITICAL, f"CRITICAL - {silence}"
    return UNKNOWN, f"UNKNOWN - no relay runs on this host{elsewhere}"


def ask(path: Path | None = None) -> Status:
    """Ask the relay of this host.

    Args:
        path: its status socket; without one the usual place.

    Returns:
        Its description.

    Raises:
        NoRelayError: nothing answers there.
    """
    path = path or paths.status_socket()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as reader:
        reader.settimeout(5)
        try:
            reader.connect(str(path))
            answer = b"".join(iter(lambda: reader.recv(65536), b""))
            status: Status = json.loads(answer)
        except OSError as error:
            raise NoRelayError(
                f"the relay of this host does not answer at {path}: {error.strerror or error}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise NoRelayError(f"the relay of this host does not answer at {path} with a status") from error
    return status


def details(status: Status) -> list[str]:
    """Write out a status for a person, below the first line.

    Args:
        status: from :func:`ask`.

    Returns:
        Lines.
    """
    relay, connections = status["relay"], status["connections"]
    upstream = status["upstream"]
    return [
        f"relay        version {relay['version']}, pid {relay['pid']}",
        *_bound(status),
        "settings     "
        + ", ".join(f"{key}={value}" for table in status["settings"].values() for key, value in table.items()),
        *(
            f"upstream     {state} {submit} {outbound}"
            for state, submit, outbound in (
                zip(upstream["states"], upstream["submit"], upstream["outbound"], strict=True) if upstream else ()
            )
        ),
        *_trust(status.get("trust")),
        *(f"dropped      {count} {reason}" for reason, count in status["dropped"].items() if count),
        *_sources(status.get("sources")),
        "connections  " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in connections.items()),
        *(f"publisher    {address}" for address in status["peers"]["publishers"]),
        *(f"submitter    {address}" for address in status["peers"]["submitters"]),
        *(f"listener     {address}" for address in status["peers"]["listeners"]),
    ]


def _bound(status: Status) -> list[str]:
    """Make a line for each address that is bound; if the endpoint has several, with the peers that use it."""
    lines = []
    uses = status.get("addresses", ())  # an older release has none
    for endpoint, bound in status["endpoints"].items():
        several = [used for used in uses if used["endpoint"] == endpoint]
        if len(several) > 1:
            lines += [f"bound        {endpoint} {used['address']} {_use(used)}" for used in several]
        else:
            lines += [f"bound        {endpoint} {address}" for address in bound]
    return lines


def _trust(trust: TrustStatus | None) -> list[str]:
    """Make lines about the checks of signatures; none where there are no checks."""
    if trust is None or trust["signatures"] == "off":
        return []
    lines = [f"signatures   {trust['signatures']}"]
    lines += [f"{name:<12} {printable(told['file'])} {until(told['ends'])}" for name, told in named_files(trust)]
    if trust["crl"] is None:
        lines.append("crl          none, revoked certificates are accepted")
    if trust["waiting"]:
        lines.append(f"quarantine   {trust['waiting']} messages could not be checked; see fedmsg-relay journal release")
    lines += [f"signed by    {one['name']}: {one['messages']} messages" for one in trust["signers"]]
    for reason, found in trust["distrusted"].items():
        claims = "" if found["signer"] is None else f", claims {found['signer']}"
        lines.append(f"distrusted   {found['messages']} {reason} (last from {found['source']}{claims})")
    return lines


def _sources(sources: SourcesStatus | None) -> list[str]:
    """Make a line of the addresses that publish most, and of those refused or held back."""
    if sources is None:  # an older release has none
        return []
    counted = (
        ("talkers", sources["published"], "messages at inbound"),
        ("not allowed", sources["inbound_refused"], "messages at inbound"),
        ("not allowed", sources["submit_refused"], "messages at submit"),
        ("held back", sources["held_back"], "requests at submit"),
    )
    return [
        f"{what:12} {', '.join('{address} {count}'.format(**most) for most in counts['most'])} "
        f"of {counts['count']} {things}"
        for what, counts, things in counted
        if counts["count"]
    ]


def _use(used: AddressStatus) -> str:
    return f"used by {', '.join(used['peers'])}" if used["peers"] else f"unused for {used['idle_seconds']:.0f} s"
