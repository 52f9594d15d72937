"""``fedmsg-relay trace``: where one message is, from this host's spool to the relay that published it."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedmsg_relay import spool
from fedmsg_relay.commands.arguments import OK, add_config, add_json, read_config
from fedmsg_relay.errors import NoRelayError, UsageError, printable

TIMEOUT = 10.0
"""Maximum time for the answer of each relay."""

MOST_RELAYS = 10
"""Maximum number of relays that are asked."""

_MAX_FILE = 32 * 1024 * 1024
_MAX_ANSWER = 1024 * 1024
_PARTS = {"journal", "quarantine", "upstream"}


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
    from fedmsg_relay.tailing import urls  # noqa: PLC0415 -- the other commands need no HTTP

    config = read_config(options)
    waiting = _in_spool(str(config.get("relay_spool", spool.DIRECTORY)), options.msg_id)
    relays = _ask_all(urls(config), options.msg_id)
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
        return rest.split(b"\n", 4)[3:4] == [msg_id.encode()]
    if msg_id.encode() not in content:
        return False
    try:
        return find_msg_id(rest.partition(b"\n")[2]) == msg_id
    except ValueError:
        return False


def _ask_all(wanted: Sequence[str], msg_id: str) -> list[dict[str, Any]]:
    """Ask relays, and those to which they hand over."""
    from urllib.parse import urlsplit  # noqa: PLC0415 -- the other commands need no HTTP

    from fedmsg_relay.tailing import PORT  # noqa: PLC0415

    relays = [_ask(url, msg_id) for url in wanted]
    asked = {urlsplit(url).hostname for url in wanted}
    for relay in list(relays):
        for link in relay.get("upstream", ()):
            host = urlsplit(link["submit"]).hostname
            if host and host not in asked and len(relays) < MOST_RELAYS:
                asked.add(host)
                relays.append(_ask(f"http://{f'[{host}]' if ':' in host else host}:{PORT}", msg_id))
                relays[-1]["upstream_of"] = relay["url"]
    return relays


def _ask(url: str, msg_id: str) -> dict[str, Any]:
    """Ask the web process of a relay."""
    import http.client  # noqa: PLC0415 -- the other commands need no HTTP
    from urllib.parse import quote, urlsplit  # noqa: PLC0415

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT)
    try:
        connection.request("GET", f"{parts.path}/trace?id={quote(msg_id, safe='')}")
        answer = connection.getresponse()
        told = json.loads(answer.read(_MAX_ANSWER))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"url": url, "error": str(error) or type(error).__name__}
    finally:
        connection.close()
    if not isinstance(told, dict) or not ("error" in told or told.keys() >= _PARTS):
        return {"url": url, "error": "not a web process of fedmsg-relay"}
    return {"url": url, **told}


def _screen(waiting: dict[str, Any], relays: list[dict[str, Any]]) -> list[str]:
    """Write it for a person."""
    lines = [f"spool       {waiting['path']}/{_waiting(file)}" for file in waiting["files"]]
    if not lines:
        unread = f" ({waiting['unreadable']} files could not be read)" if waiting["unreadable"] else ""
        lines = [f"spool       {'not in ' + waiting['path'] + unread if waiting['path'] else 'this host has none'}"]
    for relay in relays:
        lines.append(f"relay       {relay['url']}{', the upstream' if 'upstream_of' in relay else ''}")
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
        way = f" at {one['via']}" if one["via"] else ""
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
    parts = [f"signed by {printable(journal['signer'])}"] if journal["signer"] else []
    parts += [f"names the user {printable(journal['username'])}"] if journal["username"] else []
    return "; ".join(parts) or "it does not say"
