"""The project's goals, held against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from benchmarks.bridge import ALONE, BACK, BESIDE, FORWARD, WITHOUT
from benchmarks.cold import OURS_LOGGER, SPOOL, SPOOL_PROGRAMS, STOCK_LOGGER, ZMQ
from benchmarks.contenders import OURS, OURS_OFF, OURS_TMPFS, PROXY, STOCK
from benchmarks.figures import finder, ratio
from benchmarks.plan import Row
from benchmarks.trust import BEFORE, ENFORCE, OFF, SIGNED, SIGNED_LOGGER, STOCK_SIGNED_LOGGER, UNSIGNED, VALIDATE
from benchmarks.web import BY_ID, FLOODED, LAST, QUIET, SEARCH, WINDOW

Goal = list[str]
"""What, the bound, what was measured (over all sizes and publishers: least to most), and whether it was reached."""

FLAT = 5e6
"""Bytes that the second half of the messages may add to memory that counts as bounded."""


def throughput(rows: Sequence[Row]) -> Iterator[Goal]:
    find = finder(rows)
    stocks, proxies, unjournaled, cpu = [], [], [], []
    for row in rows:
        if row["contender"] == OURS:
            same = {"size": row["size"], "publishers": row["publishers"]}
            stocks.append(ratio(row, find(contender=STOCK, **same), "rate"))
            proxies.append(ratio(row, find(contender=PROXY, **same), "rate"))
            unjournaled.append(ratio(row, find(contender=OURS_OFF, **same), "rate"))
            cpu.append(ratio(row, find(contender=STOCK, **same), "cpu_us"))
    yield least("throughput, times stock's, at least", 5.0, stocks)
    yield most("CPU a message, times stock's, at most", 0.15, cpu)
    yield least("throughput, times that with the journal off, at least", 0.6, unjournaled)
    yield least("throughput, times the bare proxy's, at least", 0.5, proxies)


def latency(rows: Sequence[Row]) -> Iterator[Goal]:
    find = finder(rows)
    if (ours := find(contender=OURS, rate=1000)) and (stocks := find(contender=STOCK, rate=1000)):
        yield most("p99 at 1,000/s, ms, at most", 5.0, [median(ours["p99"])])
        yield most("p99 at 1,000/s, times stock's, at most", 1.5, [ratio(ours, stocks, "p99")])
        if in_memory := find(contender=OURS_TMPFS, rate=1000):
            yield most("the same with the journal in memory, at most", 1.5, [ratio(in_memory, stocks, "p99")])


def cold(rows: Sequence[Row]) -> Iterator[Goal]:
    seconds = {row["script"]: median(row["seconds"]) for row in rows if "script" in row}
    ours = seconds[OURS_LOGGER]
    yield most("cold fedmsg-logger, times stock's, at most", 1 / 12, [ours / seconds[STOCK_LOGGER]])
    yield most("cold fedmsg-logger, times 'import zmq', at most", 1.1, [ours / seconds[ZMQ]])
    yield most("sh spool, ms, at most", 5.0, [1000 * seconds[SPOOL]])
    yield most("sh spool, times its programs alone, at most", 1.25, [seconds[SPOOL] / seconds[SPOOL_PROGRAMS]])


def receipts(rows: Sequence[Row]) -> Iterator[Goal]:
    for clients, bound in ((1, 3_000), (50, 30_000)):
        if row := finder(rows)(contender=OURS, batch=1, clients=clients):
            noun = "client" if clients == 1 else "clients"
            yield least(f"receipts a second, {clients} {noun}, at least", bound, [median(row["rate"])])


def memory(rows: Sequence[Row]) -> Iterator[Goal]:
    find = finder(rows)
    ours, stocks = (find(contender=name, what="messages") or {} for name in (OURS, STOCK))
    frozen = find(contender=OURS, what="frozen") or {}
    yield most("memory idle, MB, at most", 45.0, [ours["points"][0][1] / 1e6])
    yield most("memory idle, times stock's, at most", 1.0, [ours["points"][0][1] / stocks["points"][0][1]])
    points = [size for _, size in frozen["points"]]
    grown = (points[-1] - points[len(points) // 2]) / 1e6
    yield most("memory with a frozen listener, MB that the second half adds, at most", FLAT / 1e6, [grown])


def trust(rows: Sequence[Row]) -> Iterator[Goal]:
    def found(**wanted: object) -> Row:
        return finder(rows)(**wanted) or {}

    ours, stocks = found(script=SIGNED_LOGGER), found(script=STOCK_SIGNED_LOGGER)
    yield most("cold signed fedmsg-logger, least, times stock's, at most", 1 / 8, [_least(ours, stocks, "seconds")])
    yield most("the same in CPU, at most", 0.3, [_least(ours, stocks, "cpu")])
    enforce, off, stock = (min(found(relay=name, of=SIGNED)["cpu_us"]) for name in (ENFORCE, OFF, VALIDATE))
    yield most("CPU of a check, times stock's validate, at most", 1 / 6, [(enforce - off) / stock])
    if before := found(relay=BEFORE, of=UNSIGNED):
        without = found(relay=OFF, of=UNSIGNED)
        yield most("CPU without checks, least, times before, at most", 1.05, [_least(without, before, "cpu_us")])
    yield most("memory idle with checks, MB, at most", 45.0, [found(memory_of=ENFORCE)["idle"] / 1e6])


def web(rows: Sequence[Row]) -> Iterator[Goal]:
    find = finder(rows)
    if (quiet := find(flood=QUIET)) and (flooded := find(flood=FLOODED)):
        part = ratio(flooded, quiet, "rate")
        yield least("throughput while clients read history, times that without, at least", 0.9, [part])
        cost = ratio(flooded, quiet, "cpu_us")
        yield most("CPU a message while clients read history, times that without, at most", 1.1, [cost])
        slower = median(flooded["p99"]) / median(quiet["p99"])
        yield most("p99 at a steady rate while clients read, times that without, at most", 1.1, [slower])
    for name, bound in ((WINDOW, 200.0), (LAST, 200.0), (BY_ID, 50.0), (SEARCH, 2500.0)):
        yield most(f"{name}, ms, at most", bound, [median((find(request=name) or {})["ms"])])


def bridge(rows: Sequence[Row]) -> Iterator[Goal]:
    find = finder(rows)
    if (ahead := find(way=FORWARD)) and (returned := find(way=BACK)):
        yield least("bridge forward, messages/s, at least", 5000, [median(ahead["rate"])])
        yield least("bridge forward, times pika alone, at least", 0.5, [ratio(ahead, find(way=ALONE), "rate")])
        yield least("bridge back, messages/s, at least", 3000, [median(returned["rate"])])
    for row in rows:
        if "lag" in row:
            yield most("bridge, median lag at 100/s, ms, at most", 50.0, [median(row["ms"])])
    if (without := find(beside=WITHOUT)) and (beside := find(beside=BESIDE)):
        part = ratio(beside, without, "rate")
        yield least("throughput with a bridge beside it, times that without, at least", 0.85, [part])


def _least(mine: Row, theirs: Row, value: str) -> float | None:
    """Ratio of the least of each: what disturbs a run makes it slower, never faster."""
    return min(mine[value]) / min(theirs[value]) if min(theirs[value]) else None


def least(what: str, bound: float, values: Sequence[float | None]) -> Goal:
    return _judge(what, bound, values, lambda value: value >= bound)


def most(what: str, bound: float, values: Sequence[float | None]) -> Goal:
    return _judge(what, bound, values, lambda value: value <= bound)


def _judge(what: str, bound: float, values: Sequence[float | None], reached: Callable[[float], bool]) -> Goal:
    known = [value for value in values if value is not None]
    form = ",.0f" if bound >= 100 else ".3g"
    measured = " to ".join(f"{value:{form}}" for value in sorted({min(known), max(known)})) if known else "-"
    return [what, f"{bound:{form}}", measured, "yes" if known and all(map(reached, known)) else "no"]


GOALS: dict[str, Callable[[Sequence[Row]], Iterator[Goal]]] = {
    "throughput": throughput,
    "latency": latency,
    "cold": cold,
    "receipts": receipts,
    "memory": memory,
    "trust": trust,
    "web": web,
    "bridge": bridge,
}
"""Those of each case."""


def judged(cases: Mapping[str, Sequence[Row]]) -> list[Goal]:
    """The goals of all cases that were measured."""
    return [goal for case, goals in GOALS.items() if case in cases for goal in goals(cases[case])]
