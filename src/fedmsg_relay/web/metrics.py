"""``/metrics`` for Prometheus: the relay's status and its journal, as they are at the moment of the request.

The counters are the relay's own, so they begin at zero when the relay is started, not the web process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from fedmsg_relay.errors import JournalError
from fedmsg_relay.web import answers, bridge, limits
from fedmsg_relay.web.condition import Condition
from fedmsg_relay.web.history import History

if TYPE_CHECKING:
    from fedmsg_relay.bridge.report import Report
    from fedmsg_relay.daemon.status import Status
    from fedmsg_relay.web.site import Site

PREFIX = "fedmsg_relay_"

_NOT_COUNTERS = {"received", "waiting", "balanced", "dropped"}
"""Of the messages of a status: what has a label, goes up and down, or follows from the counters."""


async def metrics(request: Request) -> Response:
    """Answer Prometheus."""
    site: Site = request.app.state.site
    condition = await site.watch.look()
    try:
        times = await site.reader.look(_times)
    except JournalError:
        times = None
    registry = CollectorRegistry()
    registry.register(_Relay(condition, times, site.streams.total()))
    if found := await bridge.look(site):
        registry.register(_Bridge(found, site.keep_days))
    ProcessCollector(namespace=f"{PREFIX}web", registry=registry)
    encode, media_type = choose_encoder(request.headers.get("Accept", ""))
    return answers.text(encode(registry), media_type)


def _times(journal: History) -> tuple[int, int] | None:
    return journal.times()


class _Relay(Collector):
    """The metrics of a relay at one moment."""

    def __init__(self, condition: Condition, times: tuple[int, int] | None, streams: int) -> None:
        self._condition = condition
        self._times = times
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        status = self._condition.status
        yield _gauge("up", "Whether the relay answers with its status.", status is not None)
        yield _gauge("status_code", "As a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.", self._condition.code)
        yield _gauge("web_streams", "Live streams of the web process.", self._streams)
        if self._times:
            for name, moment in zip(("oldest", "newest"), self._times, strict=True):
                text = f"When the {name} message of the journal was journaled."
                yield _gauge(f"journal_{name}_timestamp_seconds", text, moment / 1e6)
        if status is not None:
            yield from _process(status)
            yield from _messages(status)
            yield from _journal(status)
            yield from _peers(status)
            yield from _trust(status)


class _Bridge(Collector):
    """The metrics of the bridge beside it."""

    def __init__(self, found: Report, keep_days: float) -> None:
        self._found = found
        self._keep_days = keep_days

    def collect(self) -> Iterator[Metric]:
        yield from bridge.metrics(self._found, self._keep_days)


def _process(status: Status) -> Iterator[Metric]:
    relay = status["relay"]
    yield InfoMetricFamily(f"{PREFIX}build", "The version that runs.", {"version": relay["version"]})
    yield _gauge("start_time_seconds", "When the relay was started.", relay["started"])
    yield _gauge("since_last_turn_seconds", "Time since the last turn of the loop.", relay["since_last_turn"])
    yield _gauge("dead_threads", "Threads that have died.", len(status["dead_threads"]))
    yield _gauge("log_writable", "Whether the log can be written.", not status["log"]["fault"])


def _messages(status: Status) -> Iterator[Metric]:
    received = CounterMetricFamily(f"{PREFIX}messages_received", "Messages received, by the way in.", labels=["via"])
    for way, value in status["received_by"].items():
        received.add_metric([way], value)
    yield received
    messages: Mapping[str, Any] = status["messages"]
    for name, value in messages.items():
        if name not in _NOT_COUNTERS:
            yield _counter(f"messages_{name}", f"Messages {name} since the start of the relay.", value)
    delays = status["delays"]
    steps = [*((end, float(count)) for end, count in delays["steps"].items()), ("+Inf", float(delays["messages"]))]
    text = "Time from the turn that took a message until it was sent on."
    yield HistogramMetricFamily(f"{PREFIX}message_delay_seconds", text, steps, sum_value=delays["seconds"])
    yield _gauge("messages_waiting", "Messages in the journal that are not published yet.", messages["waiting"])
    yield _gauge("counters_balanced", "Whether the counters add up.", messages["balanced"])
    dropped = CounterMetricFamily(f"{PREFIX}messages_dropped", "Messages that were not taken.", labels=["reason"])
    for reason, value in status["dropped"].items():
        dropped.add_metric([reason], value)
    yield dropped
    yield _counter("submit_busy", "Submitted batches that were told to try again.", status["overloaded"])
    yield _counter("reused_names", "Submitted messages with another's msg_id.", status["reused_names"])


def _journal(status: Status) -> Iterator[Metric]:
    journal = status["journal"]
    yield _gauge("journal_writable", "Whether the journal can be written.", not journal["fault"])
    yield _gauge("journal_size_bytes", "Size of the journal.", journal["bytes"])
    yield _gauge("journal_notices", "What an operator should know about the journal.", len(journal["notices"]))
    yield _gauge("journal_last_seq", "Number of the last message.", journal["last"] or 0)
    yield _gauge("holding", "Whether publishing waits for the previous listeners.", journal["holding"])
    upstream = status["upstream"]
    if upstream:
        states = [int(state == "joined") for state in upstream["states"]]
        joined = dict(zip(upstream["submit"], states, strict=True))
        yield _gauges("upstream_joined", "Whether the relay upstream is joined.", "submit", joined)


def _peers(status: Status) -> Iterator[Metric]:
    peers = status["peers"]
    counts = {
        "inbound": len(peers["publishers"]),
        "submit": len(peers["submitters"]),
        "outbound": len(peers["listeners"]),
    }
    yield _gauges("peers", "Connected peers.", "endpoint", counts)
    crowded = {endpoint: int(endpoint in status["crowded"]) for endpoint in counts}
    yield _gauges("endpoint_crowded", "Whether connections were turned away a moment ago.", "endpoint", crowded)
    doors = {door["address"]: int(not door["fault"]) for door in status["health"]}
    yield _gauges("address_healthy", "Whether peers are greeted at the address.", "address", doors)
    connections: Mapping[str, Any] = status["connections"]
    for name, value in connections.items():
        yield _counter(f"connections_{name}", f"Connections: {name.replace('_', ' ')}.", value)
    slow = sorted(status["laggards"], key=lambda laggard: -laggard["lost"])[: limits.LAGGARDS]
    lag = {laggard["address"]: max(0.0, time.time() - laggard["since"]) for laggard in slow}
    lost = {laggard["address"]: laggard["lost"] for laggard in slow}
    yield _gauges("listener_lag_seconds", "Time for which a listener has not kept up.", "listener", lag)
    yield _gauges("listener_lost_messages", "Messages lost by a listener that does not keep up.", "listener", lost)


def _trust(status: Status) -> Iterator[Metric]:
    trust = status["trust"]
    yield _gauge("trust_usable", "Whether signatures can be checked, where they are to be.", not trust["fault"])
    yield _gauge("trust_waiting", "Messages in the quarantine that could not be checked.", trust["waiting"])
    files = {"ca": trust["ca"], "crl": trust["crl"]}
    ends = {name: file["ends"] for name, file in files.items() if file and file["ends"] is not None}
    yield _gauges("trust_ends_timestamp_seconds", "When the CA's certificate and the CRL end.", "file", ends)
    distrusted = CounterMetricFamily(f"{PREFIX}distrusted", "Messages that were not trusted.", labels=["reason"])
    for reason, found in trust["distrusted"].items():
        distrusted.add_metric([reason], found["messages"])
    yield distrusted


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)
