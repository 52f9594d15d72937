"""What was measured, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from benchmarks.contenders import OURS, PROXY, STOCK
from benchmarks.figures import fate, finder, percentile, ratio, spread, times
from benchmarks.plan import Row


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Markdown, aligned so that it is as good to read in a terminal."""
    lines = [list(head), *map(list, lines)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(drawn)


def throughput(rows: Sequence[Row]) -> str:
    find = finder(rows)
    lines = []
    for row in rows:
        same = {"size": row["size"], "publishers": row["publishers"]}
        stocks, proxy = find(contender=STOCK, **same), find(contender=PROXY, **same)
        measured = "cpu_us" in row
        lines.append(
            [
                f"{row['size']:,} B",
                str(row["publishers"]),
                row["contender"],
                spread(row["rate"]),
                times(ratio(row, stocks, "rate")) if measured else "",
                times(ratio(row, proxy, "rate")) if measured else "",
                spread(row["cpu_us"], ".1f") if measured else "",
                times(ratio(row, stocks, "cpu_us")) if measured else "",
                fate(row["verdicts"]) if measured else "",
            ]
        )
    head = ["body", "publishers", "", "messages/s", "x stock", "x proxy", "us CPU a message", "x stock", "came out"]
    return table(head, lines)


def latency(rows: Sequence[Row]) -> str:
    find = finder(rows)
    lines = []
    for row in rows:
        stocks = find(contender=STOCK, rate=row["rate"])
        percentiles = [spread(row[name], ".2f") for name in ("p50", "p99", "p99.9")]
        lines.append(
            [
                f"{row['rate']:,}/s",
                row["contender"],
                *percentiles,
                times(ratio(row, stocks, "p99")),
                fate(row["verdicts"]),
            ]
        )
    return table(["rate", "", "p50 ms", "p99 ms", "p99.9 ms", "p99 x stock", "came out"], lines)


def cold(rows: Sequence[Row]) -> str:
    scripts, lines = [row for row in rows if "script" in row], [row for row in rows if "lines_of" in row]
    stocks = next(row for row in scripts if row["script"].endswith("stock"))
    one = table(
        ["one message", "ms from start to exit", "ms CPU", "x stock", "lost", "when it ends, the message is"],
        [
            [
                row["script"],
                spread(row["seconds"], ".1f", 1000),
                spread(row["cpu"], ".1f", 1000),
                times(median(row["seconds"]) / median(stocks["seconds"])),
                str(row["lost"]),
                row["keeps"],
            ]
            for row in scripts
        ],
    )
    find = finder(lines)
    many = [
        [
            f"{row['lines']:,}",
            row["lines_of"],
            spread(row["seconds"], ".0f", 1000),
            times(ratio(row, find(lines_of=STOCK, lines=row["lines"]), "seconds")),
            str(row["lost"]),
        ]
        for row in lines
    ]
    return f"{one}\n\n{table(['lines on stdin', 'fedmsg-logger', 'ms', 'x stock', 'lost'], many)}"


def receipts(rows: Sequence[Row]) -> str:
    lines = [
        [
            str(row["batch"]),
            str(row["clients"]),
            row["contender"],
            spread(row["rate"]),
            spread(row["rate"], scale=row["batch"]),
            spread(row["cpu_us"], ".1f"),
            fate(row["verdicts"]),
        ]
        for row in rows
    ]
    return table(["batch", "clients", "", "receipts/s", "messages/s", "us CPU a message", "came out"], lines)


def memory(rows: Sequence[Row]) -> str:
    def megabytes(size: float) -> str:
        return f"{size / 1e6:.0f}"

    lines = []
    for row in rows:
        what = {"messages": "", "frozen": " and a frozen listener"}[row["what"]]
        points = row["points"]
        journal = [size for _, size in row.get("journal", [])]
        lines.append(
            [
                row["contender"],
                f"{points[-1][0]:,} of {row['size']:,} B{what}",
                megabytes(points[0][1]),
                megabytes(points[-1][1]),
                megabytes(max(size for _, size in points)),
                f"{megabytes(max(journal))}, then {megabytes(row['journal_rest'])}" if journal else "",
                fate(row["verdicts"]),
            ]
        )
    head = ["", "messages", "MB idle", "MB after", "MB at most", "MB of journal at most, and at rest", "came out"]
    return table(head, lines)


def loss(rows: Sequence[Row]) -> str:
    names = ("lost", "repeated", "disordered", "altered")
    lines = [
        [
            row["way"],
            row["contender"],
            f"{row['messages']:,}",
            str(row["restarts"]),
            *(f"{row[name]:,}" for name in names),
        ]
        for row in rows
    ]
    return table(["", "", "messages", "times", *names], lines)


def trust(rows: Sequence[Row]) -> str:
    scripts = [
        [
            row["script"],
            *(f"{1000 * min(row[name]):.1f} / {1000 * median(row[name]):.1f}" for name in ("seconds", "cpu")),
            str(row["lost"]),
        ]
        for row in rows
        if "script" in row
    ]
    relays = [
        [
            row["relay"],
            row["of"],
            spread(row["rate"]) if "rate" in row else "",
            spread(row["cpu_us"], ".1f"),
            fate(row["verdicts"]) if "verdicts" in row else "",
        ]
        for row in rows
        if "relay" in row
    ]
    memory = [
        [row["memory_of"], *(f"{row[name] / 1e6:.0f}" for name in ("idle", "after"))]
        for row in rows
        if "memory_of" in row
    ]
    return "\n\n".join(
        [
            table(["one message", "ms, least / median", "ms CPU, least / median", "lost"], scripts),
            table(["", "messages", "messages/s", "us CPU a message", "came out"], relays),
            table(["", "MB idle", "MB after"], memory),
        ]
    )


def web(rows: Sequence[Row]) -> str:
    floods = [
        [
            row["flood"],
            spread(row["rate"]),
            spread(row["cpu_us"], ".1f"),
            *(spread(row[name], ".2f") for name in ("p50", "p99")),
            spread(row["answers"]) if row["answers"] else "",
            fate(row["verdicts"]),
        ]
        for row in rows
        if "flood" in row
    ]
    asked = [
        [row["request"], f"{row['messages']:,}", spread(row["ms"], ".1f"), "yes" if row["whole"] else "up to its bound"]
        for row in rows
        if "request" in row
    ]
    return "\n\n".join(
        [
            table(["", "messages/s", "us CPU a message", "p50 ms", "p99 ms", "answers/s", "came out"], floods),
            table(["request", "messages in the journal", "ms", "all was looked at"], asked),
        ]
    )


def bridge(rows: Sequence[Row]) -> str:
    if not rows:
        return "Not measured."
    ways = [
        [
            row["way"],
            spread(row["rate"]),
            spread(row["cpu_us"], ".0f"),
            spread(row["busy"], ".2f"),
            fate(row["verdicts"]),
        ]
        for row in rows
        if "way" in row
    ]
    lags = [
        [row["lag"], *(f"{value:.1f}" for value in (median(row["ms"]), percentile(row["ms"], 95), max(row["ms"])))]
        for row in rows
        if "lag" in row
    ]
    beside = [
        [row["beside"], spread(row["rate"]), spread(row["cpu_us"], ".1f"), fate(row["verdicts"])]
        for row in rows
        if "beside" in row
    ]
    return "\n\n".join(
        [
            table(["", "messages/s", "us CPU a message", "cores that the broker uses", "came out"], ways),
            table(["lag", "median ms", "p95 ms", "most ms"], lags),
            table(["the relay", "messages/s", "us CPU a message", "came out"], beside),
        ]
    )


def rivals(rows: Sequence[Row]) -> str:
    asked, scripts, keepers = ([row for row in rows if kind in row] for kind in ("of", "script", "keeper"))
    find, ours = finder(asked), next(row for row in scripts if row["script"] == OURS)
    receipts = [
        [
            str(row["clients"]),
            str(row["batch"]),
            row["of"],
            spread(row["rate"], scale=row["batch"]),
            times(ratio(row, find(of=OURS, clients=row["clients"], batch=row["batch"]), "rate")),
            spread(row["cpu_us"], ".1f"),
            f"{median(row['busy']):.0%}",
            fate(row["verdicts"]),
        ]
        for row in asked
    ]
    cold = [
        [
            row["script"],
            spread(row["seconds"], ".0f", 1000),
            spread(row["cpu"], ".0f", 1000),
            times(median(row["seconds"]) / median(ours["seconds"])),
            str(row["lost"]),
        ]
        for row in scripts
    ]
    kept = [[row["keeper"], row["version"], row["keeps"], times(row["syncs"]), times(row["shared"])] for row in keepers]
    head = ["clients", "batch", "", "messages/s with a receipt", "x ours", "us CPU a message", "clients' CPU", "fate"]
    return "\n\n".join(
        [
            table(head, receipts),
            table(["one message from a cold script", "ms from start to exit", "ms CPU", "x ours", "lost"], cold),
            table(["", "version", "kept how", "syncs a receipt, 1 client", "50 clients"], kept),
        ]
    )


CASES: dict[str, Callable[[Sequence[Row]], str]] = {
    "throughput": throughput,
    "latency": latency,
    "cold": cold,
    "receipts": receipts,
    "memory": memory,
    "loss": loss,
    "trust": trust,
    "web": web,
    "bridge": bridge,
    "rivals": rivals,
}
