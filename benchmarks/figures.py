"""Figures of several rounds, as text and as ratios."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.plan import Row


def spread(values: Sequence[float | None], form: str = ",.0f", scale: float = 1.0) -> str:
    """The median, and least and greatest where there are several."""
    known = [value * scale for value in values if value is not None]
    if not known:
        return "-"
    if len(known) == 1:
        return f"{known[0]:{form}}"
    return f"{median(known):{form}} ({min(known):{form}}..{max(known):{form}})"


def ratio(row: Row, other: Row | None, value: str) -> float | None:
    """Median of the ratios round by round: of two that were measured one after the other."""
    if other is None:
        return None
    pairs = zip(row[value], other[value], strict=True)
    ratios = [mine / theirs for mine, theirs in pairs if mine is not None and theirs]
    return median(ratios) if ratios else None


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def fate(verdicts: Sequence[str]) -> str:
    """What became of the messages over all rounds."""
    return "; ".join(
        text if count == len(verdicts) else f"{count}x {text}" for text, count in Counter(verdicts).items()
    )


def finder(rows: Sequence[Row]) -> Callable[..., Row | None]:
    """Look up the row that has these values."""

    def find(**wanted: object) -> Row | None:
        return next((row for row in rows if all(row.get(name) == value for name, value in wanted.items())), None)

    return find


def percentile(values: Sequence[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]
