"""``fedmsg-relay journal release``: has the relay of this host release messages of its quarantine."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fedmsg_relay.commands.arguments import OK, add_json
from fedmsg_relay.errors import JournalError, NoRelayError, printable
from fedmsg_relay.runtime import paths
from fedmsg_relay.trust.reasons import Reason

if TYPE_CHECKING:
    from fedmsg_relay.daemon.release import Progress

SILENT_SECONDS = 30.0
"""Maximum time without a word from the relay; it answers one such command after the other."""

_STILL_THERE = "All other messages are still in the quarantine"


def add_command(actions: Any) -> None:
    """Declare the command.

    Args:
        actions: the subparsers of ``fedmsg-relay journal``.
    """
    text = "send messages of the quarantine through admission again; the running relay does it"
    release = actions.add_parser("release", help=text, description=text)
    release.set_defaults(command=_release)
    release.add_argument(
        "--reason",
        action="append",
        choices=[str(reason) for reason in Reason],
        metavar="REASON",
        help="only messages that are there for this reason; may be given several times (default: all reasons of trust)",
    )
    add_json(release)


def _release(options: argparse.Namespace) -> int:
    reasons = options.reason or [str(reason) for reason in Reason]
    last: Progress | None = None
    watched = sys.stderr.isatty()
    for last in _ask({"release": reasons}):
        if watched:
            print(f"\rlooked at {last['looked']} of {last['messages']}", end="", file=sys.stderr, flush=True)
    if watched:
        print(file=sys.stderr)
    if last is None or not last["ended"]:
        told = "" if last is None else f"; {_describe(last)} until then"
        raise NoRelayError(f"the relay of this host ended before it was done{told}. {_STILL_THERE}")
    print(json.dumps(last) if options.json else _describe(last))
    if last["fault"]:
        raise JournalError(f"ended early: {last['fault']}. {_STILL_THERE}")
    return OK


def _ask(request: dict[str, Any]) -> Iterator[Progress]:
    """Ask the relay of this host; yield what it says."""
    path = paths.control_socket()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(SILENT_SECONDS)
        try:
            control.connect(str(path))
            control.sendall(json.dumps(request).encode() + b"\n")
            yield from map(_read, control.makefile("rb"))
        except NoRelayError:
            raise
        except ValueError as error:
            raise NoRelayError(f"the relay of this host gives no answer of this version at {path}") from error
        except TimeoutError as error:
            raise NoRelayError(
                f"the relay of this host is silent at {path} for {SILENT_SECONDS:g} s; another release may run"
            ) from error
        except OSError as error:
            raise NoRelayError(
                f"the relay of this host does not answer at {path}: {error.strerror or error}"
            ) from error


def _read(line: bytes) -> Progress:
    told: Progress = json.loads(line)
    if "ended" not in told:
        raise NoRelayError(f"the relay of this host is of another version: {printable(told['fault'])}")
    return told


def _describe(told: Progress) -> str:
    kept = ", ".join(f"{count} {printable(reason)}" for reason, count in told["kept"].items())
    duplicates = f", {told['duplicates']} were published already" if told["duplicates"] else ""
    return f"{told['released']} released{duplicates}, {sum(told['kept'].values())} stay" + (f": {kept}" if kept else "")
