"""``fedmsg-relay status``: asks the relay of this host how it is, and judges that as a Nagios plugin does."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmsg_relay import config as global_config
from fedmsg_relay.commands.arguments import CRITICAL, OK, UNKNOWN, add_config, add_json, read_config
from fedmsg_relay.errors import ConfigError, NoRelayError
from fedmsg_relay.runtime import paths

if TYPE_CHECKING:
    from fedmsg_relay.daemon.status import AddressStatus, Status

STUCK_SECONDS = 15.0
"""A relay whose loop has not come round for this time is stuck: it turns every second even without messages."""


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
        named, elsewhere = [], f", and its config names none: {error}"
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


def judge(status: Status) -> tuple[int, str]:
    """Judge a status as a Nagios plugin does.

    Args:
        status: from :func:`ask`.

    Returns:
        0 (OK), 1 (WARNING) or 2 (CRITICAL), and the line for a person with performance data behind ``|``.
    """
    messages, peers, relay = status["messages"], status["peers"], status["relay"]
    publishers, listeners = len(peers["publishers"]), len(peers["listeners"])
    journal, upstream = status["journal"], status["upstream"]
    behind = ", ".join(f"{laggard['address']} (lost about {laggard['lost']})" for laggard in status["laggards"])
    if not messages["balanced"]:
        code, word, fact = 2, "CRITICAL", "the counters do not add up; "
    elif relay["since_last_turn"] > STUCK_SECONDS:
        code, word, fact = 2, "CRITICAL", f"the relay has been stuck for {relay['since_last_turn']:.0f} s; "
    elif dead := status["dead_threads"]:
        died = ", ".join(f"{name} of {cause}" for name, cause in dead.items())
        code, word, fact = 2, "CRITICAL", f"a thread of the relay has died, it has to be restarted: {died}; "
    elif faults := [door["fault"] for door in status["health"] if door["fault"]]:
        code, word, fact = 2, "CRITICAL", f"{', '.join(faults)}; "
    elif journal["fault"]:
        code, word, fact = 2, "CRITICAL", f"journal cannot be written, messages go unjournaled: {journal['fault']}; "
    elif upstream and upstream["state"] == "loop":
        code, word, fact = 2, "CRITICAL", "the relay upstream is chained back to this one, nothing comes out; "
    elif upstream and set(upstream["states"]) != {"joined"}:
        links = zip(upstream["submit"], upstream["states"], upstream["reasons"], strict=True)
        away = [f"{at} ({why or 'the relay is connecting to it'})" for at, state, why in links if state != "joined"]
        code, word, fact = 1, "WARNING", f"upstream is away: {', '.join(away)}; "
    elif journal["notices"]:
        code, word, fact = 1, "WARNING", f"{'; '.join(journal['notices'])}; "
    elif log_fault := status["log"]["fault"]:
        code, word, fact = 1, "WARNING", f"{status['log']['place']} cannot be written: {log_fault}; "
    elif status["crowded"]:
        code, word, fact = 1, "WARNING", f"too many connections at {', '.join(status['crowded'])}: some were closed; "
    elif behind:
        code, word, fact = 1, "WARNING", f"listeners do not keep up: {behind}; "
    else:
        code, word, fact = 0, "OK", "" if listeners else "no listener is connected, nobody hears what is published; "
    published = messages["published"] + messages["unjournaled"]
    line = (
        f"{word} - {fact}received {messages['received']}, published {published}, "
        f"waiting {messages['waiting']}, dropped {messages['dropped']}; "
        f"{publishers} publishers, {listeners} listeners; up {relay['uptime']:.0f} s"
    )
    perfdata = (
        f"received={messages['received']}c published={published}c dropped={messages['dropped']}c "
        f"waiting={messages['waiting']} journal={journal['bytes']}B "
        f"publishers={publishers} listeners={listeners} uptime={relay['uptime']:.0f}s"
    )
    return code, f"{line} | {perfdata}"


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
        *(f"dropped      {count} {reason}" for reason, count in status["dropped"].items() if count),
        *_sources(status),
        "connections  " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in connections.items()),
        *(f"publisher    {address}" for address in status["peers"]["publishers"]),
        *(f"submitter    {address}" for address in status["peers"]["submitters"]),
        *(f"listener     {address}" for address in status["peers"]["listeners"]),
    ]


def _bound(status: Status) -> list[str]:
    """Make a line for each address that is bound; if the endpoint has several, with who uses it."""
    lines = []
    uses = status.get("addresses", ())  # an older release has none
    for endpoint, bound in status["endpoints"].items():
        several = [used for used in uses if used["endpoint"] == endpoint]
        if len(several) > 1:
            lines += [f"bound        {endpoint} {used['address']} {_use(used)}" for used in several]
        else:
            lines += [f"bound        {endpoint} {address}" for address in bound]
    return lines


def _sources(status: Status) -> list[str]:
    """Make a line of who publishes most, and of who was refused or held back by its IP address."""
    sources = status.get("sources")  # an older release has none
    if sources is None:
        return []
    counted = (
        ("talkers", sources["published"], "messages at inbound"),
        ("not allowed", sources["inbound_refused"], "messages at inbound"),
        ("not allowed", sources["submit_refused"], "messages at submit"),
        ("held back", sources["held_back"], "requests at submit"),
    )
    return [
        f"{what:12} {', '.join('{address} {count}'.format(**most) for most in tally['most'])} "
        f"of {tally['count']} {things}"
        for what, tally, things in counted
        if tally["count"]
    ]


def _use(used: AddressStatus) -> str:
    return f"used by {', '.join(used['peers'])}" if used["peers"] else f"unused for {used['idle_seconds']:.0f} s"
