"""The docs as a text: links, names of modules and lists of pages are right, and the English is plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documented import INSIDE, PAGES, ROOT, first_column, page, section, written
from fedmsg_relay.journal import retention


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert not broken


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_row_of_a_table_has_as_many_cells_as_its_head(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    wrong = []
    for table in re.findall(r"^\|(?:.*\n\|)*.*", text, re.MULTILINE):
        rows = [re.sub(r"`[^`]*`|\\\|", "", row).rstrip() for row in table.splitlines()]
        wrong += [row for row in rows if row.count("|") != rows[0].count("|") or not row.endswith("|")]
    assert wrong == []


def test_the_places_that_the_readme_names() -> None:
    places = first_column(section(page("README.md"), "## Where things are"))
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []


def modules() -> list[str]:
    """Every module and script of the package, as a path below it."""
    package = ROOT / "src/fedmsg_relay"
    files = [*package.rglob("*.py"), package / "fedmsg-spool"]
    return sorted(file.relative_to(package).as_posix() for file in files if file.name != "__init__.py")


def test_the_map_of_modules() -> None:
    mapped = first_column(section(page("docs/architecture.md"), "## Packages and modules"))
    missing = [name for name in modules() if name not in mapped]
    gone = [name for name in mapped if name not in modules()]
    twice = sorted({name for name in mapped if mapped.count(name) > 1})
    assert (missing, gone, twice) == ([], [], []), (
        "docs/architecture.md, Packages and modules: "
        f"add a row for {missing}, remove the row of {gone}, keep one row of {twice}"
    )


def test_the_map_of_the_plan() -> None:
    mapped = first_column(section(page("docs/architecture.md"), "## The plan of a run"))
    folder = ROOT / "roles/fedmsg_relay/module_utils"
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if path.name != "__init__.py"]
    assert sorted(name for name in mapped if name.endswith(".py")) == sorted(there)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_modules_named_in(path: Path) -> None:
    packages = "|".join(sorted({name.split("/")[0] for name in modules() if "/" in name}))
    named = re.findall(rf"(?<![\w./-])(?:{packages})/\w+", path.read_text(encoding="utf-8"))
    gone = sorted({name for name in named if f"{name}.py" not in modules()})
    if path in INSIDE:
        bare = re.findall(r"`(\w+\.py)`", path.read_text(encoding="utf-8"))
        gone += sorted({name for name in bare if name not in modules()})
    assert gone == [], f"{path.name} names modules that are not there (renamed?): {gone}"


def test_the_picture_of_the_readme_is_that_of_the_architecture() -> None:
    told = section(page("docs/architecture.md"), "## The path of a message")
    picture = re.search(r"```\n.+?```", told, re.DOTALL)
    assert picture
    assert picture[0] in page("README.md"), "copy the first picture of docs/architecture.md into README.md"


def test_the_index_of_decisions() -> None:
    indexed = re.findall(r"^\| \[\d+\]\((.+?)\) \| (.+?) \|$", page("docs/decisions/README.md"), re.MULTILINE)
    headings = {
        file.name: file.read_text(encoding="utf-8").splitlines()[0].partition(". ")[2]
        for file in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    }
    assert dict(indexed) == headings, "docs/decisions/README.md has one row for each decision, with its title"


def test_the_glossary_is_sorted_and_has_each_word_once() -> None:
    words = [word.strip("`").lower() for word in re.findall(r"^\| (.+?) \|", page("docs/glossary.md"), re.MULTILINE)]
    assert words[1:] == sorted(set(words[1:])), "one row for each word, in the order of the alphabet"
    assert f"the last {retention.DEDUP_WINDOW:,} messages" in page("docs/glossary.md")


UNPLAIN = ("can not", "of before", "so many seconds", "is none of")
"""Signs of an English that has to be read twice, see CONTRIBUTING.md."""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_english_of(path: Path) -> None:
    text = written(path.read_text(encoding="utf-8"))
    if path.name == "CONTRIBUTING.md":
        text = text.replace(written(section(page(path.name), "## Plain English")), "")
    assert [words for words in UNPLAIN if words in text] == []


def test_the_english_of_the_role() -> None:
    found = [
        (file.name, words)
        for file in (ROOT / "roles/fedmsg_relay").rglob("*.y*ml")
        for words in UNPLAIN
        if words in file.read_text(encoding="utf-8")
    ]
    assert found == []
