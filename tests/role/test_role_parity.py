"""The README, Ansible's specs and the defaults of the role say the same about each variable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/fedmsg_relay"
SPECS: dict[str, Any] = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults/main.yml").read_text())


def table(options: dict[str, Any]) -> str:
    """What the README's table has to be."""
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        default = yaml.safe_dump(option["default"], default_flow_style=True, width=1000).removesuffix("...\n").strip()
        meaning = (
            option["description"].replace("C(", "`").replace(")", "`")
            if "C(" in option["description"]
            else option["description"]
        )
        rows.append(f"| `{name}` | {option['type']} | `{default}` | {meaning} |")
    return "\n".join(rows)


@pytest.mark.parametrize("entry_point", SPECS)
def test_the_specs_of_each_entry_point_are_the_defaults(entry_point: str) -> None:
    assert {name: option["default"] for name, option in SPECS[entry_point]["options"].items()} == DEFAULTS


@pytest.mark.parametrize("entry_point", SPECS)
def test_each_entry_point_has_its_tasks(entry_point: str) -> None:
    assert (ROLE / f"tasks/{entry_point}.yml").is_file()


def test_the_table_in_the_readme_is_the_specs() -> None:
    wanted = table(SPECS["main"]["options"])
    assert wanted in (ROLE / "README.md").read_text(), f"the README's table has to be:\n{wanted}"


def test_variables_of_the_role_have_its_prefix() -> None:
    inner = [name for file in (ROLE / "vars").glob("*.yml") for name in yaml.safe_load(file.read_text())]
    assert inner
    assert [name for name in inner if not name.startswith("__fedmsg_relay_")] == []
    assert [name for name in DEFAULTS if not name.startswith("fedmsg_relay_")] == []


def test_the_role_has_a_handler_for_others_and_flushes_nobodys() -> None:
    handlers = yaml.safe_load((ROLE / "handlers/main.yml").read_text())
    assert [handler["name"] for handler in handlers] == ["Restart fedmsg-relay"]
    assert (ROLE / "tasks/handlers.yml").is_file(), "tasks_from: handlers"
    tasks = {file.name: file.read_text() for file in (ROLE / "tasks").rglob("*.yml")}
    assert [name for name, text in tasks.items() if "flush_handlers" in text or "notify:" in text] == []


def test_every_file_of_tasks_is_used_and_is_there() -> None:
    entry_points = {*SPECS, "facts", "handlers"}
    files = [*(ROLE / "tasks").rglob("*.yml"), ROLE / "handlers/main.yml"]
    pattern = re.compile(r"(?:(import|include)_tasks: |__fedmsg_relay_do: |role_path }}/tasks/)([a-z_/.]+[.]yml)")
    # An import's path is relative to its file: below an include_role, ansible-core 2.17 and 2.18 find no other. All
    # else is relative to the folder of the tasks.
    named = {
        (file.parent if how == "import" else ROLE / "tasks").joinpath(name).resolve()
        for file in files
        for how, name in pattern.findall(file.read_text())
    }
    assert named | {ROLE / f"tasks/{name}.yml" for name in entry_points} == {*(ROLE / "tasks").rglob("*.yml")}


def test_every_operating_system_says_the_same_things() -> None:
    keys = {file.name: set(yaml.safe_load(file.read_text())) for file in (ROLE / "vars").glob("[!m]*.yml")}
    assert {"Debian.yml", "RedHat.yml", "RedHat-9.yml"} <= set(keys)
    assert len({frozenset(names) for names in keys.values()}) == 1, keys
