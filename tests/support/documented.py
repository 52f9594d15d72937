"""The pages of the docs, as tests read them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md"), *ROOT.glob("[!.]*/README.md")]
)
INSIDE = {ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md", *ROOT.glob("docs/decisions/*.md")}
"""Pages about the code, where a bare name of a file is a module of the top level."""

BIN = Path(sys.executable).parent


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    """A page without its line breaks."""
    return " ".join(page(name).split())


def written(text: str) -> str:
    """A text without its code, which quotes programs."""
    text = re.sub(r"```.+?```|^    .+?$", "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(re.sub(r"`[^`]+`", "", text).split())


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next of its level or above."""
    level = heading.split(maxsplit=1)[0]
    below = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[str]:
    """What stands in backticks, or bare, in the first column of the tables of a text."""
    cells = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell) or re.findall(r"^\d+$", cell)]
