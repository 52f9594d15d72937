"""``fedmsg-relay trace``: where one message is, from this host's spool to the relay that published it."""

from __future__ import annotations

import argparse
import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedmsg_relay import spool
from fedmsg_relay.commands.arguments import OK, add_config, add_json, read_config
from fedmsg_relay.errors import NoRelayError, UsageError, printable

_MAX_FILE = 32 * 1024 * 1024


def add_command(commands: Any) -> None:
    """Declare the command.

    Args:
        commands: the subparsers of ``fedmsg-relay``.
    """
    text = "tell where a message is: in this host's spool, in the relay's journal, published, or dropped"
    command = commands.add_parser("trace", help=text, description=text)
    command.set_defaults(command=_trace)
    command.add_argument("msg_id", metavar="MSG_ID", help="the msg_id of the message")
    add_config(command)
    add_json(command)


def _trace(options: argparse.Namespace) -> int:
    from fedmsg_relay.commands import asking  # noqa: PLC0415 -- the other commands need no HTTP
    from fedmsg_relay.tailing import urls  # noqa: PLC0415

    config = read_config(options)
    waiting = _in_spool(spool.place(config), options.msg_id)
    relays = asking.ask_all(urls(config), options.msg_id)
    if options.json:
        print(json.dumps({"msg_id": options.msg_id, "spool": waiting, "relays": relays}))
    else:
        print("\n".join(_screen(waiting, relays)))
    if waiting["files"] or any(relay.get("journal") or relay.get("quarantine") for relay in relays):
        return OK
    faults = [f"{relay['url']}: {relay['error']}" for relay in relays if "error" in relay]
    if faults:
        raise NoRelayError(f"no trace of {options.msg_id}, and not every relay could be asked: {'; '.join(faults)}")
    raise UsageError(f"no trace of {options.msg_id}: neither the spool of this host nor the relay has it")


def _in_spool(path: str, msg_id: str) -> dict[str, Any]:
    """Find a message that waits on this host."""
    found: dict[str, Any] = {"path": path, "files": [], "unreadable": 0}
    if not path:
        return found
    for folder in ("", "refused/"):
        try:
            names = spool.pending(f"{path}/{folder}")
        except OSError:
            continue
        for name in names:
            try:
                content = spool.read(f"{path}/{folder}", name, _MAX_FILE)
            except (OSError, ValueError):  # of another user, or delivered meanwhile
                found["unreadable"] += 1
                continue
            if _is_of(content, msg_id):
                found["files"].append(_about(path, folder + name))
    return found


def _about(path: str, name: str) -> dict[str, Any]:
    """Tell of a file of the spool: its name begins with the time in nanoseconds, its owner is the sender."""
    moment = name.rpartition("/")[2][:20]
    try:
        user = Path(path, name).owner()
    except (OSError, KeyError):  # delivered meanwhile; or a user that is gone
        user = None
    since = int(moment) / 1e9 if moment.isdecimal() else None
    return {"file": name, "since": since, "user": user, "state": "refused" if "/" in name else "waits"}


def _is_of(content: bytes, msg_id: str) -> bool:
    """Whether a file of the spool is the message with this name."""
    from fedmsg_relay.body import find_msg_id  # noqa: PLC0415 -- the other commands need less

    kind, _, rest = content.removeprefix(spool.HEADER).partition(b"\n")
    if kind == b"msg":  # modname, topic, timestamp, msg_id, user name
        return rest.split(b"\n", 4)[3:4] == [os.fsencode(msg_id)]
    if os.fsencode(msg_id) not in content:
        return False
    try:
        return find_msg_id(rest.partition(b"\n")[2]) == msg_id
    except ValueError:
        return False


def _screen(waiting: dict[str, Any], relays: list[dict[str, Any]]) -> list[str]:
    """Write it for a person."""
    lines = [f"spool       {waiting['path']}/{_waiting(file)}" for file in waiting["files"]]
    if not lines:
        unread = f" ({waiting['unreadable']} files could not be read)" if waiting["unreadable"] else ""
        lines = [f"spool       {'not in ' + waiting['path'] + unread if waiting['path'] else 'this host has none'}"]
    for relay in relays:
        lines.append(f"relay       {printable(relay['url'])}{', the upstream' if 'upstream_of' in relay else ''}")
        if "error" in relay:
            lines.append(f"            cannot be asked: {printable(str(relay['error']))}")
            continue
        lines += _of_relay(relay)
    return lines


def _waiting(file: dict[str, Any]) -> str:
    since = "" if file["since"] is None else f", since {_moment(file['since'])}"
    user = f", from {file['user']}" if file["user"] else ""
    return f"{file['file']}{user}{since}: {'no relay takes it' if file['state'] == 'refused' else 'it waits'}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _of_relay(relay: dict[str, Any]) -> list[str]:
    journal = relay["journal"]
    if journal is None:
        lines = ["journaled   no"]
    else:
        lines = [
            f"journaled   seq {journal['seq']} at {_moment(journal['time'])}, {journal['bytes']} bytes",
            f"topic       {printable(journal['topic'])}",
            f"from        {_sender(journal)}",
            f"published   {_published(journal)}",
            f"signature   {printable(journal['signature'])}",
        ]
    for one in relay["quarantine"]:
        way = f" at {printable(one['via'])}" if one["via"] else ""
        when = _moment(one["time"])
        lines.append(f"quarantine  {printable(one['reason'])} at {when}, from {printable(one['source'])}{way}")
    lines += [f"upstream    {printable(link['submit'])} {printable(link['state'])}" for link in relay["upstream"]]
    return lines


def _published(journal: dict[str, Any]) -> str:
    """Whether a message was published, and by when. An older web process does not tell the time."""
    if not journal["published"]:
        return "not yet: it waits in the journal"
    latest = journal.get("published_by")
    return f"yes, by {_moment(math.ceil(latest * 1000) / 1000)}" if latest else "yes; the time is not recorded"


def _sender(journal: dict[str, Any]) -> str:
    """The sender of a message: its signer, and the user that it names."""
    parts = [f"signed by {printable(journal['signer'])}"] if journal.get("signer") else []
    parts += [f"names the user {printable(journal['username'])}"] if journal.get("username") else []
    return "; ".join(parts) or "it does not say"
