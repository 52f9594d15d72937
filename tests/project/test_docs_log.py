"""The lines of the relay's log stand in docs/sop.md, and the lines in docs/sop.md stand in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from documented import ROOT, page, section

GAP, ONE = "\0", "\1"
"""What stands for any text in a line of the code or the docs, and for one gap of the code in a line of the docs."""
PACKAGES = ("chain", "commands/relay.py", "daemon", "journal", "network", "runtime")
"""Those that write into the relay's log."""
LEVELS = {"info": "", "warning": "WARNING", "error": "ERROR", "exception": "ERROR", "DropLog": "WARNING"}
LETTERS = 4
"""A text with fewer is put together from others."""


class Text(NamedTuple):
    """A text of the code, with the level at which it is logged; the level is None if another place tells it."""

    where: str
    level: str | None
    text: str


def texts() -> Iterator[Text]:
    source = ROOT / "src/fedmsg_relay"
    for path in sorted({*(one for name in PACKAGES for one in (source / name).glob("*.py")), source / PACKAGES[1]}):
        logged = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and (level := LEVELS.get(called(node.func))) is not None:
                logged.add(node.args[0])
            elif node in logged or not isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            else:
                level = None
            found = text(node.args[0] if isinstance(node, ast.Call) else node)
            if len(re.findall("[A-Za-z]", found)) >= LETTERS and "\n" not in found:
                yield Text(f"{path.stem}:{node.lineno}", level, found)


def called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr if ast.unparse(function.value) in {"log", "_log", "log.log"} else ""
    return function.id if isinstance(function, ast.Name) else ""


def text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[.\d]*[sdrfg]", GAP, node.value)
    return GAP


class Line(NamedTuple):
    """A line of the docs, of which the end may be left out."""

    level: str
    text: str


def line(written: str) -> Line:
    level, _, rest = written.partition(" ")
    if level not in {"WARNING", "ERROR"}:
        level, rest = "", written
    rest = re.sub(r"\b(?:N|ADDRESS|NAME|ENDPOINT|FILE)\b", ONE, rest)
    return Line(level, re.sub(r" ?\.\.\.|\bREASON\b", GAP, rest) + GAP)


def meet(one: str, other: str) -> bool:
    """Whether some text is an instance of both."""
    seen, ahead = set(), {(0, 0)}
    while ahead:
        seen.add(place := ahead.pop())
        i, j = place
        if place == (len(one), len(other)):
            return True
        left, right = one[i : i + 1], other[j : j + 1]
        steps = {(i + 1, j)} if left and GAP in {left, right} else set()
        steps |= {(i, j + 1)} if right and GAP in {left, right} else set()
        steps |= {(i + 1, j + 1)} if left and left == right else set()
        ahead |= steps - seen
    return False


TEXTS = list(texts())
TABLE = section(page("docs/sop.md"), "## Watch it").split("| line | meaning |")[1]
LINES = [
    written for row in re.findall(r"^\| (.+?) \| ", TABLE, re.MULTILINE) for written in re.findall(r"`(.+?)`", row)
]


@pytest.mark.parametrize("written", LINES)
def test_a_line_of_the_docs_stands_in_the_code(written: str) -> None:
    told = line(written)
    assert any(found.level in {told.level, None} and meet(told.text, found.text) for found in TEXTS)


def test_a_warning_or_an_error_of_the_code_stands_in_the_docs() -> None:
    told = [line(written) for written in LINES]
    logged = [found for found in TEXTS if found.level]
    missing = [
        found for found in logged if not any(found.level == one.level and meet(one.text, found.text) for one in told)
    ]
    assert missing == []
    assert len(logged) > 30


def test_the_comparison_itself() -> None:
    assert meet(line("WARNING listener ADDRESS is slow").text, "listener \0 is slow: \0")
    assert meet(line("bound submit ...").text, "bound \0 \0")
    assert not meet(line("bound submit ...").text, "bound to \0x")
    assert not meet(line("dropped N messages, or more").text, "dropped at least \0 messages")
