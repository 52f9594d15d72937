"""The plots, as SVG: lines over two axes, each of them linear or logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.contenders import OURS, OURS_OFF, OURS_TMPFS, PROXY, STOCK
from benchmarks.plan import Row

COLORS = {OURS: "#0b6fa4", OURS_OFF: "#6bb6de", OURS_TMPFS: "#9ad0ea", STOCK: "#c0392b", PROXY: "#6b7280"}


@dataclass
class Line:
    """What is drawn for one contender.

    Attributes:
        name: for the legend.
        color: of it.
        points: x and y, and the least and greatest y of all rounds; at least one.
        dashed: whether it is drawn so.
    """

    name: str
    color: str
    points: list[tuple[float, float, float, float]]
    dashed: bool = False


def chart(title: str, x: tuple[str, bool], y: tuple[str, bool], lines: Sequence[Line]) -> Figure:
    """Draw lines.

    Args:
        title: above it.
        x: label, and whether it is logarithmic.
        y: likewise.
        lines: at least one.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    for line in lines:
        xs, ys, lows, highs = zip(*line.points, strict=True)
        spread = [[y - low for y, low in zip(ys, lows, strict=True)], [h - y for y, h in zip(ys, highs, strict=True)]]
        style = "--" if line.dashed else "-"
        axes.errorbar(xs, ys, spread, color=line.color, linestyle=style, marker="o", markersize=3, label=line.name)
    axes.set_title(title)
    for axis, label, (words, logarithmic) in ((axes.xaxis, "x", x), (axes.yaxis, "y", y)):
        axis.set_label_text(words)
        axes.set(**{f"{label}scale": "log"} if logarithmic else {f"{label}lim": (0, None)})
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: short(value))
    if x[1]:  # the measured values
        axes.set_xticks(sorted({point[0] for line in lines for point in line.points}))
    if y[1]:  # whole powers of ten
        values = [value for line in lines for point in line.points for value in point[2:]]
        axes.set_ylim(10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values))))
    axes.grid(color="#e5e7eb")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def short(value: float) -> str:
    """1, 50, 10k, 1M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def throughput(rows: Sequence[Row]) -> Iterator[tuple[str, Figure]]:
    for size in sorted({row["size"] for row in rows}):
        lines = []
        for name, color in COLORS.items():
            mine = [row for row in rows if row["contender"] == name and row["size"] == size]
            if mine:
                lines.append(Line(name, color, [_point(row["publishers"], row["rate"]) for row in mine]))
        title = f"Throughput, bodies of {size:,} B"
        yield f"throughput-{size}", chart(title, ("publishers", True), ("messages/s", True), lines)


def latency(rows: Sequence[Row]) -> Iterator[tuple[str, Figure]]:
    lines = []
    for name in (OURS, STOCK, PROXY):
        for percentile, dashed in (("p50", False), ("p99", True)):
            known = [
                (row["rate"], [ms for ms in row[percentile] if ms is not None])
                for row in rows
                if row["contender"] == name
            ]
            points = [_point(rate, values) for rate, values in known if values]
            if points:
                lines.append(Line(f"{name}, {percentile}", COLORS[name], points, dashed))
    yield "latency", chart("Latency, in to out", ("messages/s", True), ("ms", True), lines)


def memory(rows: Sequence[Row]) -> Iterator[tuple[str, Figure]]:
    titles = {"messages": "Memory over messages of 300 B", "frozen": "Memory with a frozen listener, bodies of 1,800 B"}
    for what, title in titles.items():
        mine = [row for row in rows if row["what"] == what]
        lines = [
            Line(row["contender"], COLORS[row["contender"]], [_point(n, [size / 1e6]) for n, size in row["points"]])
            for row in mine
        ]
        yield f"memory-{what}", chart(title, ("messages", False), ("MB resident", False), lines)


def _point(x: float, values: Sequence[float]) -> tuple[float, float, float, float]:
    return x, median(values), min(values), max(values)


PLOTS: dict[str, Callable[[Sequence[Row]], Iterator[tuple[str, Figure]]]] = {
    "throughput": throughput,
    "latency": latency,
    "memory": memory,
}


def draw(cases: Mapping[str, Sequence[Row]], directory: Path) -> None:
    """Draw what was measured.

    Args:
        cases: the rows of each case.
        directory: where the files go; made when it is not there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # Text stays text, and the same numbers make the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fedmsg-relay"}):
        for case in PLOTS.keys() & cases.keys():
            for name, figure in PLOTS[case](cases[case]):
                figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
