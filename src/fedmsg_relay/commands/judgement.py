"""Judges the status of a relay as a Nagios plugin does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedmsg_relay.commands.arguments import CRITICAL, OK, WARNING
from fedmsg_relay.errors import printable
from fedmsg_relay.runtime.dates import until

if TYPE_CHECKING:
    from fedmsg_relay.daemon.status import Status, TrustFileStatus, TrustStatus

STUCK_SECONDS = 15.0
"""A relay whose loop has not come round for this time is stuck: it turns every second even without messages."""


def judge(status: Status) -> tuple[int, str]:
    """Judge a status.

    Args:
        status: of a running relay.

    Returns:
        0 (OK), 1 (WARNING) or 2 (CRITICAL), and the line for a person with performance data behind ``|``.
    """
    messages, peers, uptime = status["messages"], status["peers"], status["relay"]["uptime"]
    publishers, listeners = len(peers["publishers"]), len(peers["listeners"])
    code, word, fact = _finding(status)
    published = messages["published"] + messages["unjournaled"]
    line = (
        f"{word} - {fact}received {messages['received']}, published {published}, "
        f"waiting {messages['waiting']}, dropped {messages['dropped']}; "
        f"{publishers} publishers, {listeners} listeners; up {uptime:.0f} s"
    )
    perfdata = (
        f"received={messages['received']}c published={published}c dropped={messages['dropped']}c "
        f"waiting={messages['waiting']} journal={status['journal']['bytes']}B "
        f"publishers={publishers} listeners={listeners} uptime={uptime:.0f}s"
    )
    return code, f"{line} | {perfdata}"


def named_files(trust: TrustStatus) -> list[tuple[str, TrustFileStatus]]:
    """List the files that signatures are checked against, each with what it is.

    Args:
        trust: part of a status.
    """
    return [(name, told) for name, told in (("ca", trust["ca"]), ("crl", trust["crl"])) if told]


def _finding(status: Status) -> tuple[int, str, str]:
    """Find what is worst: exit code, word, and what is the matter."""
    if fact := next(_critical(status), None):
        return CRITICAL, "CRITICAL", f"{fact}; "
    if fact := next(_worrying(status), None):
        return WARNING, "WARNING", f"{fact}; "
    return (
        OK,
        "OK",
        "" if status["peers"]["listeners"] else "no listener is connected, nobody hears what is published; ",
    )


def _critical(status: Status) -> Iterator[str]:
    relay, journal, upstream, trust = status["relay"], status["journal"], status["upstream"], status.get("trust")
    if not status["messages"]["balanced"]:
        yield "the counters do not add up"
    if relay["since_last_turn"] > STUCK_SECONDS:
        yield f"the relay has been stuck for {relay['since_last_turn']:.0f} s"
    if dead := status["dead_threads"]:
        died = ", ".join(f"{name} of {cause}" for name, cause in dead.items())
        yield f"a thread of the relay has died, it has to be restarted: {died}"
    if faults := [door["fault"] for door in status["health"] if door["fault"]]:
        yield ", ".join(faults)
    if journal["fault"]:
        yield f"journal cannot be written, messages go unjournaled: {journal['fault']}"
    if trust and trust["fault"]:
        follows = "messages pass unchecked" if trust["signatures"] == "warn" else "messages wait"
        yield f"signatures cannot be checked, {follows}: {trust['fault']}"
    if upstream and upstream["state"] == "loop":
        yield "the relay upstream is chained back to this one, nothing comes out"


def _worrying(status: Status) -> Iterator[str]:
    journal, upstream, trust = status["journal"], status["upstream"], status.get("trust")
    if upstream and set(upstream["states"]) != {"joined"}:
        links = zip(upstream["submit"], upstream["states"], upstream["reasons"], strict=True)
        away = [f"{at} ({why or 'the relay is connecting to it'})" for at, state, why in links if state != "joined"]
        yield f"upstream is away: {', '.join(away)}"
    if unchained_from := status.get("unchained_from"):
        at = printable(" ".join(unchained_from))
        yield f"this relay publishes by itself, as {at} is chained to it: take [upstream] out of its relay.toml"
    if journal["notices"]:
        yield "; ".join(journal["notices"])
    if trust and (ending := [told for _, told in named_files(trust) if told["ends_soon"]]):
        yield ", ".join(f"{printable(told['file'])} is valid {until(told['ends'])}" for told in ending)
    if trust and trust["waiting"] and not trust["fault"] and trust["signatures"] != "warn":
        yield f"{trust['waiting']} messages can be checked again: fedmsg-relay journal release --reason trust-unusable"
    if log_fault := status["log"]["fault"]:
        yield f"{status['log']['place']} cannot be written: {log_fault}"
    if status["crowded"]:
        yield f"too many connections at {', '.join(status['crowded'])}: some were closed"
    if behind := [f"{laggard['address']} (lost about {laggard['lost']})" for laggard in status["laggards"]]:
        yield f"listeners do not keep up: {', '.join(behind)}"
