"""What the docs say is what the program does: lists and numbers that stand in both are held against each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedmsg_relay import errors, message, relay, settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md"), *ROOT.glob("*/README.md")]
)
BIN = Path(sys.executable).parent


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next of its level or above."""
    level = heading.split(maxsplit=1)[0]
    below = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[str]:
    """What stands in backticks, or bare, in the first column of the tables of a text."""
    cells = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell) or re.findall(r"^\d+$", cell)]


def test_the_reasons_to_drop_a_message() -> None:
    documented = first_column(section(page("docs/protocol.md"), "## What is dropped, and why"))
    assert documented == [reason.value for reason in message.Reason]


def test_the_exit_codes() -> None:
    documented = first_column(section(page("docs/commands.md"), "## Exit codes"))
    assert documented == [str(code) for name, code in vars(errors).items() if name.startswith("EX_")]


def test_the_keys_of_relay_toml() -> None:
    documented = first_column(section(page("docs/settings.md"), "## relay.toml"))
    assert documented == [f"{table}.{key}" for table, keys in settings.accepted().items() for key in keys]


def test_the_example_of_relay_toml_is_accepted(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.+?)```", page("docs/settings.md"), re.DOTALL)
    assert example
    (tmp_path / "relay.toml").write_text(example[1], encoding="utf-8")
    assert settings.load(tmp_path / "relay.toml") != settings.Settings()


def test_the_limits() -> None:
    protocol, keys, readme = page("docs/protocol.md"), page("docs/settings.md"), page("README.md")
    assert f"more than {message.MAX_NESTING} levels" in protocol
    assert f"at most {message.MAX_NESTING} levels" in protocol
    assert f"{message.DEFAULT_MAX_MESSAGE_SIZE // 2**20} MiB" in protocol
    assert f"more than {relay.SIZE_HEADROOM} times the limit" in protocol
    assert f"| `limits.max_message_size` | `{message.DEFAULT_MAX_MESSAGE_SIZE}` |" in keys
    assert f"beyond {relay.SEND_QUEUE:,} messages" in readme


@pytest.mark.parametrize(
    ("heading", "command"),
    [
        ("## fedmsg-relay", ["fedmsg-relay"]),
        ("### check-config", ["fedmsg-relay", "check-config"]),
        ("### status", ["fedmsg-relay", "status"]),
        ("### probe", ["fedmsg-relay", "probe"]),
        ("### endpoints", ["fedmsg-relay", "endpoints"]),
        ("## fedmsg-logger", ["fedmsg-logger"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_options_of(heading: str, command: list[str]) -> None:
    told = subprocess.run(
        [BIN / command[0], *command[1:], "--help"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    # Up to the first subcommand, which has a section of its own.
    documented = section(page("docs/commands.md"), heading).split("\n### ")[0]
    # Every command takes --config-filename, which the page says once.
    everywhere = {"--help", "--config-filename"}
    options = r"(?<![\w-])--[a-z][a-z-]+"
    shown = {*re.findall(options, documented.split("\n    $")[0]), *everywhere}
    assert shown == set(re.findall(options, told.split("\nexamples:")[0])) | everywhere


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


def test_the_places_that_the_readme_names() -> None:
    places = first_column(section(page("README.md"), "## Where things are"))
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []
