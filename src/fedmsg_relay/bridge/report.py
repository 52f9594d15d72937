"""The report on the bridge: what its ledger and the journal say together, judged as a Nagios plugin does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from fedmsg_relay.bridge.condition import State
from fedmsg_relay.bridge.facts import Facts, read
from fedmsg_relay.bridge.ledger import NAME
from fedmsg_relay.bridge.progress import COUNTERS
from fedmsg_relay.bridge.reading import Reader
from fedmsg_relay.errors import JournalError, printable

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
_NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

SILENT_SECONDS = 30.0
"""Time without a word of the bridge after which it counts as not running."""

TROUBLE_SECONDS = 60.0
"""Time that a part may be without the broker before that is CRITICAL; and that a message may wait before a WARNING."""

OLD_SECONDS = 600.0
"""Time that a message may wait before that is CRITICAL."""


class Report(NamedTuple):
    """What is known.

    Attributes:
        facts: all figures, for JSON.
        code: exit code of a Nagios plugin.
        summary: the first line, without its beginning.
        perfdata: for Nagios.
    """

    facts: dict[str, Any]
    code: int
    summary: str
    perfdata: str

    @property
    def line(self) -> str:
        """The first line of the output."""
        return f"{_NAMES[self.code]} - {self.summary}{' | ' + self.perfdata if self.perfdata else ''}"


def report(state: Path, keep_days: float) -> Report:
    """Report on the bridge of this host.

    Args:
        state: directory of the journal.
        keep_days: of the journal, from relay.toml.

    Raises:
        RelayError: the ledger cannot be read.
    """
    found = read(state)
    if found is None:
        return Report({}, UNKNOWN, f"no bridge has run on this host: there is no {state / NAME}", "")
    try:
        facts = {**found.told, **_figures(found, state)}
    except JournalError as error:
        return Report(dict(found.told), CRITICAL, str(error), "")
    problems = [*_of_process(found), *_of_forward(facts, keep_days), *_of_back(facts), *_of_tap(facts, found)]
    worst = max((code for code, _ in problems), default=OK)
    said = [text for code, text in sorted(problems, key=lambda problem: -problem[0])]
    forward = facts["forward"]
    summary = printable("; ".join(said)) or (
        f"{forward['confirmed']} messages sent, {forward['waiting']} wait, all accounted for"
    )
    return Report(facts, worst, summary, _perfdata(facts))


def _figures(found: Facts, state: Path) -> dict[str, Any]:
    """Put the counters and the journal together."""
    forward = _part(found, "forward")
    seen = _part(found, "seen")
    reader = Reader(state / "journal.db")
    try:
        ends = reader.ends()
        oldest = reader.messages_after(forward.get("cursor", 0), 1)
    finally:
        reader.close()
    cursor = forward.get("cursor", 0)
    waiting = max(0, ends.last - cursor)
    facts = {
        **dict.fromkeys(COUNTERS, 0),
        **forward,
        **found.told.get("forward", {}),
        "waiting": waiting,
        "oldest_seconds": round(max(0.0, time.time() - oldest[0].time / 1e6), 3) if oldest else 0.0,
        "journal_first": ends.first,
        "journal_last": ends.last,
        "new_gap": forward.get("gap", 0) - seen.get("gap", 0),
        "new_jump": any(forward.get(name, 0) > seen.get(name, 0) for name in ("jumped", "renewed")),
        "reasons": found.reasons,
        "to_retry": found.retry,
        "last_set_aside": found.aside._asdict() if found.aside else None,
    }
    # What is counted message by message, against numbers that stand in the journal.
    counted = sum(forward.get(name, 0) for name in ("confirmed", "skipped", "set_aside", "gap", "jumped"))
    facts["balanced"] = ends.last - forward.get("begin", 0) == counted + waiting
    back = None
    if told := found.told.get("back"):
        back = {**_part(found, "back"), **told}
        parts = ("taken", "own", "bad", "refused", "returned")
        back["unaccounted"] = back.get("delivered", 0) - sum(back.get(name, 0) for name in parts)
    tap = None
    if told := found.told.get("tap"):
        tap = {**_part(found, "tap"), **told}
        tap["new_missing"] = tap.get("missing", 0) - seen.get("missing", 0)
        tap["new_different"] = tap.get("different", 0) - seen.get("different", 0)
        tap["new_unknown"] = tap.get("unknown", 0) - seen.get("unknown", 0)
        tap["ranges"] = [{"first": first, "last": last, "topic": topic} for first, last, topic in found.missing]
    return {"told_at": found.told_at, "forward": facts, "back": back, "tap": tap}


def _part(found: Facts, name: str) -> dict[str, int]:
    begins = f"{name}."
    return {key.removeprefix(begins): value for key, value in found.counters.items() if key.startswith(begins)}


Problem = tuple[int, str]


def is_silent(told_at: float) -> bool:
    """Tell whether a bridge counts as not running, by the time of its last word."""
    return time.time() - told_at > SILENT_SECONDS


def _of_process(found: Facts) -> list[Problem]:
    silent = time.time() - found.told_at
    if is_silent(found.told_at):
        since = f"for {silent:.0f} s" if found.told_at else "since it was started"
        return [(CRITICAL, f"the bridge does not run: it has said nothing {since}")]
    return []


def _of_forward(facts: dict[str, Any], keep_days: float) -> list[Problem]:
    forward = facts["forward"]
    problems = [*_of_condition("forward", forward)]
    if forward.get("fault"):
        problems.append((CRITICAL, forward["fault"]))
    if not forward["balanced"]:
        problems.append((CRITICAL, "the counters of the way forward do not add up; please report it"))
    if forward["new_gap"] > 0:
        problems.append((CRITICAL, f"{forward['new_gap']} messages were gone from the journal before they were sent"))
    if forward["new_jump"]:
        problems.append((CRITICAL, "the journal was begun anew: it is not known how many messages were never sent"))
    age, waiting = forward["oldest_seconds"], forward["waiting"]
    if age > OLD_SECONDS or age > TROUBLE_SECONDS:
        text = f"{waiting} messages wait, the oldest for {age:.0f} s"
        problems.append((CRITICAL if age > OLD_SECONDS else WARNING, text))
    if age > keep_days * 86400 / 2:
        problems.append((CRITICAL, f"retention nears what waits: journal.keep_days is {keep_days:g}"))
    return problems


def _of_back(facts: dict[str, Any]) -> list[Problem]:
    return _of_condition("back", facts["back"]) if facts["back"] else []


def _of_tap(facts: dict[str, Any], found: Facts) -> list[Problem]:
    tap = facts["tap"]
    if not tap:
        return []
    problems = _of_condition("tap", tap)
    if tap["new_missing"] > 0:
        first = f", the first is {found.missing[0][0]} of topic {found.missing[0][2]}" if found.missing else ""
        problems.append(
            (CRITICAL, f"{tap['new_missing']} messages were confirmed and did not arrive at the tap{first}")
        )
    if tap["new_different"] > 0:
        problems.append((CRITICAL, f"{tap['new_different']} messages arrived with other bytes than the journal has"))
    if tap["new_unknown"] > 0:
        problems.append((CRITICAL, f"{tap['new_unknown']} messages arrived that the journal does not have"))
    return problems


def _of_condition(part: str, told: dict[str, Any]) -> list[Problem]:
    state, since = told.get("state", ""), told.get("since", 0.0)
    if state in {State.WORKING, ""}:
        return []
    seconds = time.time() - since
    code = CRITICAL if state == State.REFUSED or seconds > TROUBLE_SECONDS else WARNING
    reason = f": {told['reason']}" if told.get("reason") else ""
    return [(code, f"{part} is {state} for {seconds:.0f} s{reason}")]


def _perfdata(facts: dict[str, Any]) -> str:
    forward, tap = facts["forward"], facts["tap"] or {}
    lag = forward.get("lag") or {}
    values = {
        "waiting": forward["waiting"],
        "oldest": f"{forward['oldest_seconds']:.3f}s",
        "lag": f"{lag.get('median', 0):.3f}s",
        "confirmed": f"{forward.get('confirmed', 0)}c",
        "skipped": f"{forward.get('skipped', 0)}c",
        "set_aside": f"{forward.get('set_aside', 0)}c",
        "unroutable": f"{forward.get('unroutable', 0)}c",
        "gap": f"{forward.get('gap', 0)}c",
        "twice": f"{tap.get('twice', 0)}c",
        "missing": tap.get("missing", 0),
    }
    return " ".join(f"{name}={value}" for name, value in values.items())
