"""The results of a run: what is printed, and what docs/benchmarks.md shows."""

from __future__ import annotations

from typing import Any

from benchmarks import goals, plots, tables
from benchmarks.machine import ROOT

Results = dict[str, Any]
"""``run``: on what it was measured; ``notes``: what was not; ``cases``: the rows of each case, by its name."""

DOCS = ROOT / "docs"
PAGE = DOCS / "benchmarks.md"


def texts(results: Results) -> dict[str, str]:
    """A text for each case, one for the conditions, one for the goals and one for what is missing."""
    made = {"run": tables.table(["", ""], [[name, value] for name, value in results["run"].items()])}
    made |= {case: tables.CASES[case](rows) for case, rows in results["cases"].items()}
    made["goals"] = tables.table(["goal", "bound", "measured", "reached"], goals.judged(results["cases"]))
    made["notes"] = "\n".join(f"- {note}" for note in results["notes"]) or "Nothing is missing."
    return made


def update_docs(results: Results) -> None:
    """Put every text and plot where docs/benchmarks.md has its place for it.

    A run of some cases replaces the tables of these alone, and says below each of them that it did.
    """
    made = texts(results)
    if results["cases"].keys() != tables.CASES.keys():
        made = {case: f"{made[case]}\n\n{conditions(results)}" for case in results["cases"]}
    page = PAGE.read_text(encoding="utf-8")
    for name, text in made.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + text + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(page, encoding="utf-8")
    plots.draw(results["cases"], DOCS / "benchmarks")


def conditions(results: Results) -> str:
    """The conditions of a run of some cases, and what was not measured in it."""
    told = ("date", "revision", "processor", "disk", "load before", "rounds")
    run = "; ".join(f"{name}: {results['run'][name]}" for name in told)
    notes = [f"Note: {note}." for note in results["notes"]]
    return "\n".join([f"This is from a run of its own. {run}.", *notes])
