"""The tasks of the role: each has a name of its own, and the program is run, not imported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/fedmsg_relay"
FILES = sorted([*ROLE.glob("tasks/**/*.yml"), *ROLE.glob("handlers/*.yml")])


def tasks(items: Any) -> Iterator[dict[str, Any]]:
    for task in items or ():
        yield task
        for inner in ("block", "rescue", "always"):
            yield from tasks(task.get(inner))


def test_no_name_of_a_task_is_there_twice() -> None:
    names = Counter(task["name"] for file in FILES for task in tasks(yaml.safe_load(file.read_text())))
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) > 100


def test_a_run_has_three_facts_and_no_more() -> None:
    """What a host was like before the run, the plan, and what the host has achieved."""
    every = [task for file in FILES for task in tasks(yaml.safe_load(file.read_text()))]
    facts = {name for task in every for name in task.get("ansible.builtin.set_fact", ())}
    assert facts == {"__fedmsg_relay_told", "__fedmsg_relay_plan", "__fedmsg_relay_done"}


def test_the_tasks_stay_few() -> None:
    assert sum(len(file.read_text().splitlines()) for file in ROLE.glob("tasks/**/*.yml")) <= 1360


def test_a_formula_of_more_than_one_line_is_python() -> None:
    """It is a function with a table of cases, in ``module_utils/fedmsg_relay_plan/``."""
    lines = (ROLE / "vars/main.yml").read_text().splitlines()
    assert [line for line in lines if re.search(r": [>|]|[{]%", line) or line.count("{{") != line.count("}}")] == []
    assert len(lines) <= 275


@pytest.mark.parametrize("pattern", [r"\bSELECT\b.*\bFROM\b", r"\bfrom fedmsg_relay\b", r"\bimport fedmsg_relay\b"])
def test_neither_sql_nor_an_import_of_the_program_stands_in_the_role(pattern: str) -> None:
    places = [*FILES, *ROLE.glob("vars/*.yml"), *ROLE.glob("library/*.py")]
    assert [str(path.name) for path in places if re.search(pattern, path.read_text())] == []


def test_an_uninstall_refuses_before_it_changes_anything() -> None:
    file = ROLE / "tasks/uninstall.yml"
    order = [(task["name"], _does(task)) for task in yaml.safe_load(file.read_text())]
    refusing = [place for place, (_, does) in enumerate(order) if does & {"ansible.builtin.assert"}]
    modules = {"fedmsg_relay_firewall", "fedmsg_relay_removal"}
    changing = [place for place, (_, does) in enumerate(order) if does & modules]
    assert len(refusing) >= 4
    assert len(changing) == 2
    assert max(refusing) < min(changing), order


def _does(task: dict[str, Any]) -> set[str]:
    """The modules of a task, and those of the tasks that it includes."""
    found = set(task)
    for included in ("ansible.builtin.include_tasks", "ansible.builtin.import_tasks"):
        if included in task:
            for inner in tasks(yaml.safe_load((ROLE / "tasks" / task[included]).read_text())):
                found |= _does(inner)
    return found
