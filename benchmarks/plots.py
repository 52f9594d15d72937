"""The plots, as SVG: lines over two axes, each of them linear or logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from benchmarks.contenders import OURS, OURS_OFF, OURS_TMPFS, PROXY, STOCK
from benchmarks.plan import Row

WIDTH, HEIGHT = 800, 380
FONT = 'font-family="sans-serif" font-size="12"'
LEFT, RIGHT, TOP, BOTTOM = 74, 200, 34, 46
"""Margins; the legend is in the right one."""
GRID = "#e5e7eb"
COLORS = {OURS: "#0b6fa4", OURS_OFF: "#6bb6de", OURS_TMPFS: "#9ad0ea", STOCK: "#c0392b", PROXY: "#6b7280"}

Place = tuple[float, float]


@dataclass
class Line:
    """What is drawn for one contender.

    Attributes:
        name: for the legend.
        color: of it.
        points: x and y, and the least and greatest y of all rounds.
        dashed: whether it is drawn so.
    """

    name: str
    color: str
    points: list[tuple[float, float, float, float]]
    dashed: bool = False

    @property
    def style(self) -> str:
        return 'stroke-width="2"' + (' stroke-dasharray="6 4"' if self.dashed else "")


@dataclass
class Axis:
    """Maps values to where they are drawn.

    Attributes:
        logarithmic: or linear.
        marks: the values that are named, least first; the axis goes from the first to the last.
        start: where the first is drawn.
        end: where the last is drawn.
    """

    logarithmic: bool
    marks: list[float]
    start: float
    end: float

    def place(self, value: float) -> float:
        low, high = self.marks[0], self.marks[-1]
        if low == high:
            share = 0.5
        elif self.logarithmic:
            share = math.log(max(value, low) / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return self.start + share * (self.end - self.start)


def decades(low: float, high: float) -> list[float]:
    """Powers of ten around all values."""
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def evenly(high: float) -> list[float]:
    """Four to seven round values from 0 to the greatest or just beyond."""
    size = 10.0 ** math.floor(math.log10(high))
    step = next(size * part for part in (0.2, 0.5, 1.0, 2.0) if high / (size * part) <= 6)
    return [step * number for number in range(math.ceil(high / step) + 1)]


def chart(title: str, x: tuple[str, bool], y: tuple[str, bool], lines: Sequence[Line]) -> str:
    """Draw lines.

    Args:
        title: above it.
        x: label, and whether it is logarithmic.
        y: likewise.
        lines: at least one, with at least one point.

    Returns:
        The SVG.
    """
    points = [point for line in lines for point in line.points]
    xs, lows, highs = {point[0] for point in points}, [point[2] for point in points], [point[3] for point in points]
    across = Axis(x[1], sorted(xs) if x[1] else evenly(max(xs)), LEFT, WIDTH - RIGHT)
    up = Axis(y[1], decades(min(lows), max(highs)) if y[1] else evenly(max(highs)), HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text((LEFT + WIDTH - RIGHT) / 2, 18, title, "middle", 'font-size="14"'),
    ]
    for value in across.marks:
        at = across.place(value)
        parts += [_stroke((at, up.start), (at, up.end), GRID), _text(at, HEIGHT - 28, short(value), "middle")]
    for value in up.marks:
        at = up.place(value)
        parts += [_stroke((LEFT, at), (WIDTH - RIGHT, at), GRID), _text(LEFT - 6, at + 4, short(value), "end")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x[0], "middle"))
    parts.append(_text(0, 0, y[0], "middle", f'transform="translate(14 {HEIGHT / 2}) rotate(-90)"'))
    for number, line in enumerate(lines):
        parts += _drawn(line, across, up)
        at, below = WIDTH - RIGHT + 14, TOP + 14 + 20 * number
        parts.append(_stroke((at, below - 4), (at + 24, below - 4), line.color, line.style))
        parts.append(_text(at + 30, below, line.name))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _drawn(line: Line, across: Axis, up: Axis) -> Iterator[str]:
    path = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y, _, _ in line.points)
    yield f'<polyline points="{path}" fill="none" stroke="{line.color}" {line.style}/>'
    for x, y, low, high in line.points:
        at = across.place(x)
        if low != high:
            yield _stroke((at, up.place(low)), (at, up.place(high)), line.color)
        yield f'<circle cx="{at:.1f}" cy="{up.place(y):.1f}" r="2.5" fill="{line.color}"/>'


def _stroke(start: Place, end: Place, color: str, more: str = "") -> str:
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{color}" {more}/>'


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#111827" {more}>{escape(text)}</text>'


def short(value: float) -> str:
    """1, 50, 10k, 1M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def throughput(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for size in sorted({row["size"] for row in rows}):
        lines = []
        for name, color in COLORS.items():
            mine = [row for row in rows if row["contender"] == name and row["size"] == size]
            lines.append(Line(name, color, [_point(row["publishers"], row["rate"]) for row in mine]))
        title = f"Throughput, bodies of {size:,} B"
        yield f"throughput-{size}", chart(title, ("publishers", True), ("messages/s", True), lines)


def latency(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
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


def memory(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
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


PLOTS: dict[str, Callable[[Sequence[Row]], Iterator[tuple[str, str]]]] = {
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
    for case in PLOTS.keys() & cases.keys():
        for name, svg in PLOTS[case](cases[case]):
            (directory / f"{name}.svg").write_text(svg, encoding="utf-8")
