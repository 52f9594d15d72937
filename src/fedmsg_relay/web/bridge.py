"""The bridge beside the relay: its report, for the page and as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from fedmsg_relay.bridge import report
from fedmsg_relay.bridge.condition import State
from fedmsg_relay.bridge.report import Report
from fedmsg_relay.errors import RelayError
from fedmsg_relay.journal import spared

if TYPE_CHECKING:
    from fedmsg_relay.web.site import Site

PREFIX = "fedmsg_relay_bridge_"

_PARTS = ("forward", "back", "tap")
_FORWARD = ("confirmed", "skipped", "set_aside", "gap", "jumped")
_BACK = ("taken", "own", "bad", "refused", "returned")
_TAP = ("arrived", "twice", "different", "late", "unknown")
_LOSSES = (("forward", "new_gap"), ("tap", "new_missing"), ("tap", "new_different"), ("tap", "new_unknown"))
_DAY = 86400


async def look(site: Site) -> Report | None:
    """Get the report on the bridge.

    Args:
        site: the journal beside which it works.

    Returns:
        The report; None where no bridge works. A bridge that was taken away has no cursor any more.
    """
    state = site.source.path.parent

    def ask() -> Report | None:
        return report.report(state, site.keep_days) if spared.cursor(state) is not None else None

    try:
        return await site.reader.run(ask)
    except RelayError as error:
        return Report({}, report.UNKNOWN, str(error), "")


def metrics(found: Report, keep_days: float) -> Iterator[Metric]:
    """Make metrics of a report.

    Args:
        found: the report.
        keep_days: of the journal.

    Yields:
        The metrics. Counters are those of ``bridge.db``, so they go on when the bridge is restarted.
    """
    facts = found.facts
    yield _gauge("status_code", "As a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.", found.code)
    if "told_at" not in facts:
        return
    yield _gauge("up", "Whether the bridge tells its state.", not report.is_silent(facts["told_at"]))
    working = {part: facts[part].get("state") == State.WORKING for part in _PARTS if facts[part]}
    yield _gauges("working", "Whether a part works with the broker.", "part", working)
    losses = sum(max(0, facts[part].get(name, 0)) for part, name in _LOSSES if facts[part])
    text = "Messages that were lost or differ from the journal, and that nobody has acknowledged."
    yield _gauge("unacknowledged_losses", text, losses + facts["forward"]["new_jump"])
    yield from _forward(facts["forward"], keep_days)
    if facts["back"]:
        yield from _back(facts["back"])
    if facts["tap"]:
        yield from _tap(facts["tap"])


def _forward(forward: Mapping[str, Any], keep_days: float) -> Iterator[Metric]:
    text = "Messages of the journal, by what became of them."
    yield _counters("forward_messages", text, "outcome", {name: forward[name] for name in _FORWARD})
    yield _counter("forward_unroutable", "Confirmed messages that no queue took.", forward["unroutable"])
    yield _counter("forward_resent", "Messages that were sent once more.", forward["resent"])
    yield _gauge("forward_waiting", "Messages that are not sent yet.", forward["waiting"])
    text = "Age of the oldest message that waits; 0 if none does."
    yield _gauge("forward_oldest_seconds", text, forward["oldest_seconds"])
    text = "Time until the oldest message that waits is as old as journal.keep_days."
    yield _gauge("forward_until_retention_seconds", text, keep_days * _DAY - forward["oldest_seconds"])
    yield _gauge("forward_balanced", "Whether every message of the journal is accounted for.", forward["balanced"])
    lag = forward.get("lag") or {}
    yield _gauges("forward_lag_seconds", "Time from the journal to the broker's confirm.", "of", lag)


def _back(back: Mapping[str, Any]) -> Iterator[Metric]:
    yield _counter("back_delivered", "Messages that the broker delivered.", back.get("delivered", 0))
    text = "Delivered messages, by what became of them."
    yield _counters("back_messages", text, "outcome", {name: back.get(name, 0) for name in _BACK})
    yield _gauge("back_in_hand", "Delivered messages that are not accounted for yet.", back["unaccounted"])


def _tap(tap: Mapping[str, Any]) -> Iterator[Metric]:
    text = "Messages at the tap, by what the comparator found."
    yield _counters("tap_messages", text, "finding", {name: tap.get(name, 0) for name in _TAP})
    yield _gauge("tap_missing", "Messages that were confirmed and have not arrived.", tap.get("missing", 0))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for of, value in values.items():
        family.add_metric([of], float(value))
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family
